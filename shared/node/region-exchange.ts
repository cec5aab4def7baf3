import { failureOf } from '../errors.ts';
import { LogThrottle } from '../log-throttle.ts';
import type { Log } from '../ports.ts';
import type { ControlMessage } from '../protocol/messages/control.ts';
import type { RegionPlace, WireRegion } from '../protocol/messages/region.ts';
import type { TensorMessage } from '../protocol/messages/work.ts';
import type { Epochs } from './epochs.ts';
import type { Executor, PreparedPlan } from './executor-types.ts';
import type { RegionIndex } from './region-index.ts';
import { maySend, regionFault } from './tensor-check.ts';
import type { SendTensors } from './tensor-sender.ts';
import { epochOf } from './work-queue.ts';

/** An order to send regions. */
export type SendOrder = Extract<ControlMessage, { type: 'send' }>;

/** What the exchange of regions needs. `now` is a steady clock, milliseconds. */
export interface RegionExchangeOptions {
  readonly id: string;
  readonly executor: Pick<Executor, 'preparedPlan' | 'keep' | 'take'>;
  readonly regions: Pick<RegionIndex, 'receive' | 'use'>;
  readonly epochs: Pick<Epochs, 'followed'>;
  readonly sendTensors: SendTensors;
  readonly answer: (to: string, message: ControlMessage) => Promise<unknown>;
  /** Called when regions of a frame arrived and are kept. */
  readonly onArrived: (iId: string) => void;
  readonly now: () => number;
  readonly log: Log;
}

/** Most orders that wait for those before them. */
const MAX_ORDERS = 1024;

/**
 * Takes regions that other nodes send, and sends kept ones where central orders it.
 *
 * 1. A region is kept only where a prepared plan of the followed epoch lets its sender have it and a part here may read
 *    it (tensor-check.ts), and where there is room (region-index.ts). Others are dropped and counted.
 * 2. Orders are carried out one after another, so that at most one order's regions are encoded and not yet sent. Each is
 *    answered once.
 */
export class RegionExchange {
  /** Regions that other nodes sent and that were not kept. */
  dropped = 0;
  readonly #options: RegionExchangeOptions;
  readonly #throttledLog: LogThrottle;
  #line: Promise<void> = Promise.resolve();
  #orders = 0;

  constructor(options: RegionExchangeOptions) {
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, options.now);
  }

  /** Whether a node's tensor message with these first fields is of no use. */
  judge(from: string, { plan, i_id }: Readonly<Record<string, string | number>>): 'unasked' | 'unknown' {
    if (typeof plan !== 'string' || typeof i_id !== 'string') return 'unknown';
    return this.#wantedOf(from, { plan, i_id }) === undefined ? 'unasked' : 'unknown';
  }

  /** Handles a tensor message whose bytes may alias a buffer of the MQTT client; false if it was useless. */
  receive(from: string, message: TensorMessage): boolean {
    const { executor, regions, onArrived, now } = this.#options;
    const { plan, i_id, tiles } = message;
    const prepared = this.#wantedOf(from, message);
    if (prepared === undefined) return false;
    const offered = tiles.flatMap(({ out }) => out);
    let fault: string | undefined;
    const fitting = offered.filter((region) => {
      const found = regionFault(prepared, from, region);
      fault ??= found;
      return found === undefined;
    });
    if (fault !== undefined) this.#throttledLog.warn(`fault ${from}`, `a tensor of ${from} is dropped: ${fault}`);
    const kept = regions.receive(i_id, plan, from, fitting.map(sized), now());
    this.dropped += offered.length - kept.length;
    const own = kept.map(({ region }) => ({ ...region, d: new Uint8Array(region.d) }));
    if (own.length > 0 && executor.keep(i_id, from, own)) onArrived(i_id);
    return kept.length > 0;
  }

  /** Sends regions that are kept here. */
  send(from: string, order: SendOrder): void {
    const { answer, log } = this.#options;
    const complain = (error: unknown): void => log.warn(`an answer could not be sent: ${failureOf(error).message}`);
    if (this.#orders >= MAX_ORDERS) {
      this.#throttledLog.warn('orders', `${MAX_ORDERS} orders to send regions wait already`);
      answer(from, missing(order, order.regions)).catch(complain);
      return;
    }
    this.#orders++;
    this.#line = this.#line
      .then(async () => answer(from, await this.#carryOut(order)))
      .catch(complain)
      .then(() => {
        this.#orders--;
      });
  }

  /** The plan of a message whose frame counts, if the node may send tensors of it. */
  #wantedOf(from: string, { plan, i_id }: { readonly plan: string; readonly i_id: string }): PreparedPlan | undefined {
    const { executor, epochs } = this.#options;
    const prepared = executor.preparedPlan(plan);
    if (prepared === undefined || epochOf(i_id) !== epochs.followed) return undefined;
    return maySend(prepared, from) ? prepared : undefined;
  }

  async #carryOut(order: SendOrder): Promise<ControlMessage> {
    const { id, executor, regions, sendTensors, now } = this.#options;
    const { plan, i_id, stage, t_id, attempt, request, to } = order;
    const started = now();
    regions.use(i_id, started);
    let taken: Awaited<ReturnType<Executor['take']>>;
    try {
      taken = await executor.take(i_id, order.regions);
    } catch (error) {
      this.#throttledLog.warn('take', `regions could not be sent: ${failureOf(error).message}`);
      return missing(order, order.regions);
    }
    if ('missing' in taken) return missing(order, taken.missing);
    const out = [...taken];
    const others = [...new Set(to)].filter((node) => node !== id);
    const about = { plan, i_id, attempt, ...(stage === undefined ? {} : { stage }) };
    await Promise.all(others.map((node) => sendTensors(node, { v: 1, ...about, tiles: [{ t_id, out }] })));
    const bytes = others.length * out.reduce((total, { d }) => total + d.byteLength, 0);
    return { v: 1, type: 'sent', i_id, request, bytes, ms: now() - started };
  }
}

function missing({ i_id, request }: SendOrder, regions: readonly RegionPlace[]): ControlMessage {
  const places = regions.map(({ tensor, box }) => ({ tensor, box }));
  return { v: 1, type: 'missing', i_id, request, regions: places };
}

function sized(region: WireRegion) {
  return { tensor: region.tensor, box: region.box, bytes: region.d.byteLength, region };
}
