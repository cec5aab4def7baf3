import { failureOf } from '../errors.ts';
import { LogThrottle } from '../log-throttle.ts';
import { CENTRAL } from '../plan/plan.ts';
import type { Log } from '../ports.ts';
import type { ControlMessage, ModelManifest } from '../protocol/messages/control.ts';
import type { EchoMessage } from '../protocol/messages/echo.ts';
import type { RegionStats } from '../protocol/messages/node.ts';
import type { ReceivedWork } from '../protocol/messages/received-work.ts';
import type { ResultMessage, TensorMessage } from '../protocol/messages/work.ts';
import { Echoes } from './echoes.ts';
import type { Epochs } from './epochs.ts';
import type { Executor } from './executor-types.ts';
import { isMeasureOrder, Measurements, type MeasurementsOptions, type MeasureOrder } from './measurements.ts';
import { type BlobSource, Plans } from './plans.ts';
import { RegionExchange } from './region-exchange.ts';
import { WorkHandler, type WorkHandlerOptions } from './work-handler.ts';
import { epochOf } from './work-queue.ts';

/** A message of a node to central; tensors and echoes go to other nodes too. */
export type NodeMessage =
  | { readonly kind: 'result'; readonly message: ResultMessage }
  | { readonly kind: 'tensor'; readonly message: TensorMessage }
  | { readonly kind: 'echo'; readonly message: EchoMessage }
  | { readonly kind: 'control'; readonly message: ControlMessage };

/** What a node service needs. `now` is a steady clock, milliseconds. */
export interface NodeServiceOptions {
  readonly id: string;
  readonly bootId: string;
  readonly executor: Executor;
  /** Absent: every blob is here already. */
  readonly blobs?: BlobSource;
  readonly keepSettings?: MeasurementsOptions['keepSettings'];
  readonly requireTrust?: ((manifest: ModelManifest) => void) | undefined;
  readonly onReady?: ((manifest: ModelManifest) => void) | undefined;
  readonly send: (to: string, message: NodeMessage) => Promise<unknown>;
  readonly epochs: Epochs;
  readonly limits: WorkHandlerOptions['limits'] & { readonly plans: number };
  /** Results are combined up to this size, so that fewer messages are sent. */
  readonly messageBytes: number;
  readonly now: () => number;
  /** CPU time of this process, ms. */
  readonly cpuMs: () => number;
  /** Calls a function once after some ms. */
  readonly after: (ms: number, call: () => void) => void;
  readonly log: Log;
}

/**
 * Handles central's messages: the same for node agents, which receive them by MQTT, and for central's own executor,
 * which receives them in the same process. Only central's messages are obeyed; tensors may come from other nodes.
 */
export class NodeService {
  readonly work: WorkHandler;
  readonly plans: Plans;
  readonly exchange: RegionExchange;
  readonly echoes: Echoes;
  readonly #measurements: Measurements;
  readonly #options: NodeServiceOptions;
  readonly #throttledLog: LogThrottle;

  constructor(options: NodeServiceOptions) {
    const { limits, send } = options;
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, options.now);
    const sendTensors = (to: string, message: TensorMessage) => send(to, { kind: 'tensor', message });
    this.work = new WorkHandler({
      ...options,
      send: (to, message) => send(to, { kind: 'result', message }),
      sendTensors,
    });
    this.exchange = new RegionExchange({
      ...options,
      regions: this.work.regions,
      sendTensors,
      answer: (to, message) => send(to, { kind: 'control', message }),
      onArrived: (iId) => this.work.regionsArrived(iId),
    });
    this.plans = new Plans({ ...options, maxPlans: limits.plans, onGone: (plan) => this.work.planGone(plan) });
    this.echoes = new Echoes({ ...options, send: (to, message) => send(to, { kind: 'echo', message }) });
    this.#measurements = new Measurements({ ...options, plans: this.plans, echoes: this.echoes });
  }

  /** The node's regions, for its heartbeat. */
  get regionStats(): RegionStats {
    const { regions, waitingForInputs } = this.work;
    return { bytes: regions.bytes, waiting: waitingForInputs, dropped: this.exchange.dropped };
  }

  /** Handles a work message; false if it was useless. */
  receiveWork(from: string, work: ReceivedWork): boolean {
    return this.#isObeyed(from, 'work') && this.work.receive(from, work);
  }

  /** Handles a control message; false if it was useless. */
  receiveControl(from: string, message: ControlMessage): boolean {
    if (!this.#isObeyed(from, message.type)) return false;
    // A central that has lost the election, and does not know it yet, must not release plans that the new leader uses.
    const epoch = message.type === 'send' ? epochOf(message.i_id) : 'epoch' in message ? message.epoch : undefined;
    const stale = epoch === undefined ? undefined : this.work.enter(epoch);
    if (stale !== undefined) {
      this.#throttledLog.warn('epoch', `a ${message.type} of ${from} is ignored: ${stale.text}`);
      return false;
    }
    if (message.type === 'release') this.plans.release(message.plan);
    else if (message.type === 'cancel') this.work.cancel(message);
    else if (message.type === 'send') this.exchange.send(from, message);
    else if (message.type === 'free') this.work.free(message.i_id);
    else if (message.type === 'prepare') void this.#prepare(from, message);
    else if (isMeasureOrder(message)) void this.#measure(from, message);
    return true;
  }

  async #prepare(from: string, message: Extract<ControlMessage, { type: 'prepare' }>): Promise<void> {
    await this.#answer(from, await this.plans.prepare(from, message, (ready) => void this.#answer(from, ready)));
  }

  async #measure(from: string, order: MeasureOrder): Promise<void> {
    await this.#answer(from, await this.#measurements.carryOut(from, order));
  }

  #answer(to: string, message: ControlMessage): Promise<unknown> {
    const { send, log } = this.#options;
    return send(to, { kind: 'control', message }).catch((error: unknown) => {
      log.warn(`an answer could not be sent: ${failureOf(error).message}`);
    });
  }

  #isObeyed(from: string, kind: string): boolean {
    if (from === CENTRAL) return true;
    this.#throttledLog.warn(from, `a ${kind} message from ${from} is ignored: only ${CENTRAL} is obeyed`);
    return false;
  }
}
