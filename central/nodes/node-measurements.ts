import { TesseraError } from '../../shared/errors.ts';
import type { MeasureOrder } from '../../shared/node/measurements.ts';
import type { ControlMessage } from '../../shared/protocol/messages/control.ts';

/** A node's answer to an order to measure. */
export type MeasureAnswer = Extract<
  ControlMessage,
  { type: 'measured' | 'tuned' | 'probed' | 'codecs-timed' | 'unmeasured' }
>;
/** Whether a message answers an order to measure. */
export function isMeasureAnswer(message: ControlMessage): message is MeasureAnswer {
  return ['measured', 'tuned', 'probed', 'codecs-timed', 'unmeasured'].includes(message.type);
}

/** An order without its numbers. */
export type Measurement = MeasureOrder extends infer O
  ? O extends unknown
    ? Omit<O, 'v' | 'request' | 'epoch'>
    : never
  : never;

/** What ordering measurements needs. */
export interface NodeMeasurementsOptions {
  readonly send: (node: string, order: MeasureOrder) => Promise<void>;
  /** Of this central. */
  readonly epoch: number;
}

/** How long a measurement may take, the download of the weights that it needs included. */
const PATIENCE_MS = 600_000;

/** The measurements that nodes were asked for and have not answered. */
export class NodeMeasurements {
  readonly #options: NodeMeasurementsOptions;
  readonly #open = new Map<number, { readonly node: string; readonly end: (answer: MeasureAnswer | Error) => void }>();
  #request = 0;

  constructor(options: NodeMeasurementsOptions) {
    this.#options = options;
  }

  /**
   * Has a node measure something. Throws TESSERA_RUN_FAILED with the node's reason, and TESSERA_NO_NODES where it goes
   * offline or does not answer.
   */
  async order(node: string, measurement: Measurement): Promise<Exclude<MeasureAnswer, { type: 'unmeasured' }>> {
    const { send, epoch } = this.#options;
    const request = this.#request++;
    let timer: NodeJS.Timeout | undefined;
    try {
      const answer = await new Promise<MeasureAnswer>((resolve, reject) => {
        const end = (with_: MeasureAnswer | Error): void => (with_ instanceof Error ? reject(with_) : resolve(with_));
        this.#open.set(request, { node, end });
        timer = setTimeout(() => end(gone(node, `has not answered for ${PATIENCE_MS / 60_000} minutes`)), PATIENCE_MS);
        send(node, { v: 1, ...measurement, epoch, request }).catch(reject);
      });
      if (answer.type !== 'unmeasured') return answer;
      throw new TesseraError('TESSERA_RUN_FAILED', `node ${node} could not measure it: ${answer.text}`);
    } finally {
      clearTimeout(timer);
      this.#open.delete(request);
    }
  }

  /** Whether the answer to a request of this number is awaited from a node. */
  isAwaited(node: string, request: unknown): boolean {
    return typeof request === 'number' && this.#open.get(request)?.node === node;
  }

  /** A node answered. */
  answered(node: string, answer: MeasureAnswer): void {
    if (this.isAwaited(node, answer.request)) this.#open.get(answer.request)!.end(answer);
  }

  /** A node went offline: it will not answer. */
  offline(node: string): void {
    for (const { node: asked, end } of this.#open.values()) if (asked === node) end(gone(node, 'went offline'));
  }
}

function gone(node: string, what: string): TesseraError {
  return new TesseraError('TESSERA_NO_NODES', `node ${node} ${what} while it measured`, {
    hint: 'look at its log, then measure again',
  });
}
