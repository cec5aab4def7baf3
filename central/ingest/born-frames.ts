import { TesseraError } from '../../shared/errors.ts';
import type { LogThrottle } from '../../shared/log-throttle.ts';
import type { BornFrameMessage, BornFrameOrder, FrameAnnounced } from '../../shared/protocol/messages/born-frame.ts';
import type { SourceReport } from '../../shared/protocol/messages/camera.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import type { Arrival, BornArrival } from '../../shared/runtime/frame-parser.ts';
import type { Head } from '../../shared/runtime/wire.ts';
import { TokenBuckets } from '../../shared/token-buckets.ts';

/** What becomes of a frame that was born at a node: central has it, will never accept it, or cannot accept it now. */
export type BornOffer = 'kept' | 'refused' | 'later';

/** What `BornFrames` needs. */
export interface BornFramesOptions {
  readonly send: (node: string, order: BornFrameOrder) => Promise<unknown>;
  /** Offers a frame; resolves once the journal has it, where it is kept. */
  readonly offer: (arrival: Arrival, isRepeated: boolean) => Promise<BornOffer>;
  /** What the source of a camera at a node is doing. */
  readonly reported: (camera: string, node: string, report: SourceReport) => void;
  readonly throttledLog: Pick<LogThrottle, 'warn'>;
}

/** Announcements of one node that are read: at once, and per second. */
const ANNOUNCED = { burst: 200, perSecond: 100 } as const;
/** An order to open or send a frame is repeated after this long without an answer, ms. */
const AGAIN_MS = 5000;
/** A frame begins without the copy of a node that does not answer within this time, ms. */
const COPY_MS = 1000;

interface Pending {
  readonly timer: NodeJS.Timeout;
  readonly resolve: (answer: BornFrameMessage) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Frames that are born at nodes: their pixels stay there until the plan moves them. Also frames from topics that nodes
 * read themselves: central tells them which i_id such a frame has.
 *
 *   announced --accepted or queued--> kept --no model waits for it any more--> done
 *   for each i_id: opened at its node, or its picture taken to central; then freed
 *
 * 1. A node hears `kept` once the journal has the frame. Without it the node announces the frame again, which is offered
 *    once: also to the central after this one.
 * 2. After `done` and `free` of every i_id the node need not have the frame.
 * 3. Only the node that announced a frame can open it or send its picture.
 */
export class BornFrames {
  readonly #options: BornFramesOptions;
  /** Announced frames that are not done, by name. */
  readonly #live = new Set<string>();
  /** Orders without an answer, by node and i_id. */
  readonly #pending = new Map<string, Pending>();
  readonly #announced = new TokenBuckets(ANNOUNCED);

  constructor(options: BornFramesOptions) {
    this.#options = options;
  }

  /** Whether a message of a node, known by its first values, may be of use. */
  isAwaited(node: string, { type, i_id }: Head): boolean {
    if (type === 'announced' || type === 'source') return this.#announced.has(node, performance.now());
    return typeof i_id === 'string' && this.#pending.has(nameOf(node, i_id));
  }

  /** Handles a message of a node; false for a useless one. */
  receive(node: string, message: BornFrameMessage): boolean {
    if (message.type === 'announced' || message.type === 'source') {
      if (!this.#announced.take(node, performance.now())) {
        this.#options.throttledLog.warn(
          `frames ${node}`,
          `node ${node} announces frames faster than central reads them`,
        );
        return false;
      }
      if (message.type === 'source') this.#options.reported(message.camera, node, message.report);
      else void this.#announce(node, message);
      return true;
    }
    const name = nameOf(node, message.i_id);
    const pending = this.#pending.get(name);
    if (pending === undefined) return false;
    this.#end(name);
    if (message.type === 'failed')
      pending.reject(
        new TesseraError('TESSERA_SOURCE_LOST', `node ${node}, where the frame was born: ${message.text}`),
      );
    else pending.resolve(message);
    return true;
  }

  /** Has the node hold a frame under an i_id. Throws TESSERA_SOURCE_LOST. */
  async open(i_id: string, plan: string, { camera, frame, born }: BornArrival): Promise<void> {
    await this.#ask(i_id, born.node, { type: 'open', v: 1, camera, frame, i_id, plan });
  }

  /** Takes the picture to central. Throws TESSERA_SOURCE_LOST. */
  async take(i_id: string, { camera, frame, born }: BornArrival): Promise<FrameEnvelope> {
    const answer = await this.#ask(i_id, born.node, { type: 'take', v: 1, camera, frame, i_id });
    if (answer.type !== 'file') throw new TesseraError('TESSERA_SOURCE_LOST', `node ${born.node} sent no picture`);
    return { v: 1, format: answer.format, d: answer.d };
  }

  /** No model waits for the frame any more. */
  done({ camera, frame, born }: BornArrival): void {
    this.#live.delete(nameOf(born.node, camera, frame));
    this.#tell(born.node, { type: 'done', v: 1, camera, frame });
  }

  /**
   * Has a node that reads the camera's topic hold a frame under an i_id; resolves to the node, or to undefined where it
   * does not have the frame, or not in time.
   */
  async copy(i_id: string, plan: string, { camera, frame }: Arrival, node: string): Promise<string | undefined> {
    const late = setTimeout(() => this.#fail(i_id, node, 'it does not answer'), COPY_MS);
    try {
      await this.#ask(i_id, node, { type: 'open', v: 1, camera, frame, i_id, plan });
      return node;
    } catch {
      return undefined;
    } finally {
      clearTimeout(late);
    }
  }

  /** A frame that a node had under an i_id has ended. */
  free(i_id: string, node: string): void {
    this.#fail(i_id, node, 'the frame has ended');
    this.#tell(node, { type: 'free', v: 1, i_id });
  }

  #fail(i_id: string, node: string, text: string): void {
    const pending = this.#pending.get(nameOf(node, i_id));
    this.#end(nameOf(node, i_id));
    pending?.reject(new TesseraError('TESSERA_SOURCE_LOST', `node ${node}: ${text}`));
  }

  async #announce(node: string, message: FrameAnnounced): Promise<void> {
    const { camera, frame, time, format, width, height, repeated = false } = message;
    const name = nameOf(node, camera, frame);
    const isKnown = this.#live.has(name);
    this.#live.add(name);
    const envelope = { v: 1, format, d: new Uint8Array() } as const;
    const arrival: BornArrival = { camera, frame, named: true, time, envelope, born: { node, width, height } };
    const offer = isKnown ? 'kept' : await this.#options.offer(arrival, repeated);
    if (offer === 'later') this.#live.delete(name);
    if (offer === 'refused') this.done(arrival);
    if (this.#live.has(name)) this.#tell(node, { type: 'kept', v: 1, camera, frame });
  }

  #ask(i_id: string, node: string, order: BornFrameOrder): Promise<BornFrameMessage> {
    const answer = new Promise<BornFrameMessage>((resolve, reject) => {
      const timer = setInterval(() => this.#tell(node, order), AGAIN_MS).unref();
      this.#pending.set(nameOf(node, i_id), { timer, resolve, reject });
    });
    this.#tell(node, order);
    return answer;
  }

  #end(name: string): void {
    clearInterval(this.#pending.get(name)?.timer);
    this.#pending.delete(name);
  }

  #tell(node: string, order: BornFrameOrder): void {
    const { send, throttledLog } = this.#options;
    send(node, order).catch((error: unknown) =>
      throttledLog.warn(`frame order ${node}`, `${order.type} for ${node}: ${error}`),
    );
  }
}

function nameOf(...parts: readonly string[]): string {
  return parts.join(' ');
}
