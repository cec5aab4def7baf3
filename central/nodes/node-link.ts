import { Epochs } from '../../shared/node/epochs.ts';
import type { Executor } from '../../shared/node/executor-types.ts';
import { NodeService } from '../../shared/node/node-service.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
import type { ControlMessage } from '../../shared/protocol/messages/control.ts';
import type { EchoMessage } from '../../shared/protocol/messages/echo.ts';
import type { WorkMessage } from '../../shared/protocol/messages/work.ts';
import { cpuMs } from '../../shared/runtime/cpu-time.ts';
import type { Wire } from '../../shared/runtime/wire.ts';
import type { NodeAnswers } from './node-answers.ts';

/** What `NodeLink` needs. */
export interface NodeLinkOptions {
  readonly wire: Pick<Wire, 'send'>;
  /** Central's own. */
  readonly executor: Executor;
  readonly answers: NodeAnswers;
  readonly log: Log;
}

/**
 * No other node can replace central's executor, so it has no limits; each part is answered separately. It keeps no
 * regions: the data plane does.
 */
const LIMITS = { plans: Infinity, tiles: Infinity, bytes: Infinity, running: Infinity, regionBytes: Infinity } as const;

/**
 * Sends messages to nodes. Messages for `central` reach central's own executor in this process, through the service
 * that node agents use too: without encoding or copying, and buffers of work are given away. All others are sent on the
 * wire. Only audits call the executor directly (audited-parts.ts): central then judges a part that nodes computed.
 */
export class NodeLink {
  readonly #wire: Pick<Wire, 'send'>;
  readonly #local: NodeService;

  constructor({ wire, executor, answers, log }: NodeLinkOptions) {
    this.#wire = wire;
    this.#local = new NodeService({
      id: CENTRAL,
      bootId: '',
      executor,
      send: async (to, { kind, message }) => {
        if (kind === 'tensor' || kind === 'echo') return wire.send(to, kind, message);
        // After the effects that came together with the cause of this answer.
        await Promise.resolve();
        if (kind === 'result') answers.result(CENTRAL, message);
        else answers.control(CENTRAL, message);
        return undefined;
      },
      epochs: new Epochs(),
      limits: LIMITS,
      messageBytes: 0,
      now: () => performance.now(),
      cpuMs,
      after: (ms, call) => setTimeout(call, ms).unref(),
      // An agent reports its plans; central reports those of all nodes together.
      log: { ...log, info: (message, fields) => log.debug(message, fields) },
    });
  }

  /** Whether messages to a node stay in this process. */
  isLocal(node: string): boolean {
    return node === CENTRAL;
  }

  /** Sends work; resolves to the bytes on the wire. */
  async work(node: string, message: WorkMessage): Promise<number> {
    if (!this.isLocal(node)) return this.#wire.send(node, 'work', message);
    this.#local.work.accept(CENTRAL, message);
    return 0;
  }

  /** Handles an echo of a node; false if it was useless. */
  receiveEcho(from: string, message: EchoMessage): boolean {
    return this.#local.echoes.receive(from, message);
  }

  async control(node: string, message: ControlMessage): Promise<void> {
    if (this.isLocal(node)) this.#local.receiveControl(CENTRAL, message);
    else await this.#wire.send(node, 'control', message);
  }
}
