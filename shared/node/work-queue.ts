import type { WorkError } from '../protocol/messages/work.ts';
import { Epochs } from './epochs.ts';

/**
 * A node's decisions about work, without sockets, clock or threads: times are passed in, in milliseconds of one steady
 * clock. `H` is whatever the caller needs to run an item; the queue only returns it.
 *
 *   item:  offered --refused--> answered with an error
 *          offered --admitted--> queued --next--> running --finished--> gone
 *          queued --budget over, cancelled, plan released, connection lost--> gone, answered
 *
 * 1. Items start in the order of arrival, at most `running` at a time: the worker has the next one ready while it runs
 *    one, and all others can still be refused, cancelled or expire.
 * 2. Parts and bytes (queued and running) never exceed the limits, but an idle node accepts one item of any size.
 * 3. No item is accepted after its budget, for a plan that is not ready, or in an epoch that does not count
 *    (epochs.ts).
 * 4. Every part offered is accounted for exactly once: refused, dropped with a reason, or finished.
 */

/** Work as the queue sees it: addressing, part numbers and sizes. */
export interface WorkItem {
  readonly plan: string;
  readonly iId: string;
  readonly stage: number;
  readonly attempt: number;
  readonly tIds: readonly number[];
  /** Bytes of all inputs. */
  readonly bytes: number;
  readonly arrivedMs: number;
  /** The time from which the answer is useless. */
  readonly deadlineMs: number;
}

/** An item with the caller's handle. */
export interface QueuedWork<H> {
  readonly item: WorkItem;
  readonly handle: H;
}

/** Why an item, or some of its parts, will not run. */
export interface Refusal {
  readonly code: WorkError;
  readonly text: string;
}

/** How much work a node accepts at a time. */
export interface WorkLimits {
  readonly tiles: number;
  readonly bytes: number;
  readonly running: number;
}

/** The work of one node. */
export class WorkQueue<H> {
  readonly #limits: WorkLimits;
  readonly #isReady: (plan: string) => boolean;
  #queue: QueuedWork<H>[] = [];
  readonly #running = new Set<QueuedWork<H>>();
  readonly #epochs: Epochs;

  /** `isReady` says whether work for a plan can run. */
  constructor(limits: WorkLimits, isReady: (plan: string) => boolean, epochs = new Epochs()) {
    this.#limits = limits;
    this.#isReady = isReady;
    this.#epochs = epochs;
  }

  /** Parts queued or running. */
  get tiles(): number {
    return this.#sum((item) => item.tIds.length);
  }

  /** Bytes of inputs queued or running. */
  get bytes(): number {
    return this.#sum((item) => item.bytes);
  }

  /** The plan is gone; returns its queued items. Running items end by themselves. */
  dropPlan(plan: string): QueuedWork<H>[] {
    return this.#take((item) => item.plan === plan);
  }

  /**
   * A message of this epoch arrived. Returns the queued items of another epoch, whose results are not wanted any more,
   * and why the node follows a lower epoch now; or a refusal where the epoch does not count.
   */
  enter(epoch: number, nowMs: number): { dropped: QueuedWork<H>[]; note: string | undefined } | Refusal {
    const verdict = this.#epochs.enter(epoch, nowMs);
    if (!verdict.counts) return { code: 'expired', text: verdict.why };
    const dropped = verdict.isNew ? this.#take((item) => epochOf(item.iId) !== epoch) : [];
    return { dropped, note: verdict.note };
  }

  /** Accepts an item, or says why not; that its epoch counts is known from `enter`. */
  offer(item: WorkItem, handle: H, nowMs: number): Refusal | undefined {
    if (!this.#isReady(item.plan)) return { code: 'unknown-plan', text: `plan ${item.plan} is not prepared here` };
    if (nowMs >= item.deadlineMs) return { code: 'expired', text: 'the budget was over on arrival' };
    const waiting = this.tiles;
    if (waiting > 0 && waiting + item.tIds.length > this.#limits.tiles)
      return { code: 'busy', text: `${waiting} tiles are waiting, at most ${this.#limits.tiles} may` };
    if (waiting > 0 && this.bytes + item.bytes > this.#limits.bytes)
      return { code: 'busy', text: `${this.bytes} bytes are waiting, at most ${this.#limits.bytes} may` };
    this.#queue.push({ item, handle });
    return undefined;
  }

  /** The next item to start, if one may start now, and those before it whose budget is over. */
  next(nowMs: number): { start: QueuedWork<H> | undefined; expired: QueuedWork<H>[] } {
    const expired = this.#take((item) => nowMs >= item.deadlineMs);
    if (this.#running.size >= this.#limits.running) return { start: undefined, expired };
    const start = this.#queue.shift();
    if (start !== undefined) this.#running.add(start);
    return { start, expired };
  }

  /** A started item has an outcome for each of its parts. */
  finished(queued: QueuedWork<H>): void {
    this.#running.delete(queued);
  }

  /**
   * Removes parts of a frame's stage from the queue. Returns them, one entry per affected item, with the dropped parts
   * in `item.tIds`; running parts are not among them.
   */
  cancel(iId: string, stage: number, tIds: readonly number[]): QueuedWork<H>[] {
    const dropped: QueuedWork<H>[] = [];
    const kept: QueuedWork<H>[] = [];
    for (const queued of this.#queue) {
      const { item, handle } = queued;
      const lost = item.iId === iId && item.stage === stage ? item.tIds.filter((id) => tIds.includes(id)) : [];
      if (lost.length > 0) dropped.push({ item: { ...item, tIds: lost }, handle });
      const left = lost.length === 0 ? item.tIds : item.tIds.filter((id) => !lost.includes(id));
      if (left.length === item.tIds.length) kept.push(queued);
      else if (left.length > 0) kept.push({ item: { ...item, tIds: left }, handle });
    }
    this.#queue = kept;
    return dropped;
  }

  /** Empties the queue, as after a lost connection, when other nodes have all of its work. */
  dropAll(): QueuedWork<H>[] {
    return this.#take(() => true);
  }

  #take(matches: (item: WorkItem) => boolean): QueuedWork<H>[] {
    const taken = this.#queue.filter((queued) => matches(queued.item));
    if (taken.length > 0) this.#queue = this.#queue.filter((queued) => !matches(queued.item));
    return taken;
  }

  #sum(size: (item: WorkItem) => number): number {
    let sum = 0;
    for (const queued of this.#queue) sum += size(queued.item);
    for (const queued of this.#running) sum += size(queued.item);
    return sum;
  }
}

/** The epoch of an `i_id` (`<epoch>-<counter>`). */
export function epochOf(iId: string): number {
  return Number(iId.slice(0, iId.indexOf('-')));
}
