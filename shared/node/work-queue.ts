import type { RegionPlace } from '../protocol/messages/region.ts';
import type { WorkError } from '../protocol/messages/work.ts';
import { Epochs } from './epochs.ts';

/**
 * A node's decisions about work, without sockets, clock or threads: times are passed in, in milliseconds of one steady
 * clock. `H` is whatever the caller needs to run an item; the queue only returns it.
 *
 *   item:  offered --refused--> answered with an error
 *          offered --admitted--> queued --next--> running --finished--> gone
 *          queued --wait--> waiting for inputs --ready--> queued
 *          queued, waiting --budget over, cancelled, plan released, connection lost--> gone, answered
 *
 * 1. Items start in the order of arrival, at most `running` at a time: the worker has the next one ready while it runs
 *    one, and all others can still be refused, cancelled or expire. Parts of one item that became ready one after another
 *    start together.
 * 2. Parts and bytes (waiting, queued and running) never exceed the limits, but an idle node accepts one item of any
 *    size.
 * 3. No item is accepted after its budget, for a plan that is not ready, or in an epoch that does not count
 *    (epochs.ts).
 * 4. Every part offered is accounted for exactly once: refused, dropped with a reason, or finished.
 */

/** A part of an item and the bytes of the inputs that came with it. */
export interface SizedPart {
  readonly t_id: number;
  readonly bytes: number;
}

/** Work as the queue sees it: addressing, parts and sizes. */
export interface WorkItem {
  readonly plan: string;
  readonly iId: string;
  readonly stage: number;
  readonly attempt: number;
  readonly parts: readonly SizedPart[];
  readonly arrivedMs: number;
  /** The time from which the answer is useless. */
  readonly deadlineMs: number;
}

/** An item with the caller's handle. */
export interface QueuedWork<H> {
  readonly item: WorkItem;
  readonly handle: H;
}

/** Why an item, or some of its parts, will not run; `missing`: for want of which regions. */
export interface Refusal {
  readonly code: WorkError;
  readonly text: string;
  readonly missing?: readonly RegionPlace[];
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
  #waiting: QueuedWork<H>[] = [];
  readonly #running = new Set<QueuedWork<H>>();
  readonly #epochs: Epochs;

  /** `isReady` says whether work for a plan can run. */
  constructor(limits: WorkLimits, isReady: (plan: string) => boolean, epochs = new Epochs()) {
    this.#limits = limits;
    this.#isReady = isReady;
    this.#epochs = epochs;
  }

  /** Parts that wait, are queued or run. */
  get tiles(): number {
    return this.#sum(() => 1);
  }

  /** Bytes of inputs that came with them. */
  get bytes(): number {
    return this.#sum(({ bytes }) => bytes);
  }

  /** Parts that wait for inputs. */
  get waiting(): number {
    return this.#waiting.reduce((total, { item }) => total + item.parts.length, 0);
  }

  /** When the next part that waits is late; Infinity where none does. */
  get firstDeadlineMs(): number {
    return this.#waiting.reduce((first, { item }) => Math.min(first, item.deadlineMs), Infinity);
  }

  /** The plan is gone; returns its queued items. Running items end by themselves. */
  dropPlan(plan: string): QueuedWork<H>[] {
    return this.#take(({ item }) => item.plan === plan);
  }

  /**
   * A message of this epoch arrived. Returns the queued items of another epoch, whose results are not wanted any more,
   * and why the node follows a lower epoch now; or a refusal where the epoch does not count.
   */
  enter(epoch: number, nowMs: number): { dropped: QueuedWork<H>[]; note: string | undefined } | Refusal {
    const verdict = this.#epochs.enter(epoch, nowMs);
    if (!verdict.counts) return { code: 'expired', text: verdict.why };
    const dropped = verdict.isNew ? this.#take(({ item }) => epochOf(item.iId) !== epoch) : [];
    return { dropped, note: verdict.note };
  }

  /** Accepts an item, or says why not; that its epoch counts is known from `enter`. */
  offer(item: WorkItem, handle: H, nowMs: number): Refusal | undefined {
    if (!this.#isReady(item.plan)) return { code: 'unknown-plan', text: `plan ${item.plan} is not prepared here` };
    if (nowMs >= item.deadlineMs) return { code: 'expired', text: 'the budget was over on arrival' };
    const waiting = this.tiles;
    if (waiting > 0 && waiting + item.parts.length > this.#limits.tiles)
      return { code: 'busy', text: `${waiting} tiles are waiting, at most ${this.#limits.tiles} may` };
    const bytes = bytesOf(item);
    if (waiting > 0 && this.bytes + bytes > this.#limits.bytes)
      return { code: 'busy', text: `${this.bytes} bytes are waiting, at most ${this.#limits.bytes} may` };
    this.#queue.push({ item, handle });
    return undefined;
  }

  /** Parts of a queued item wait for inputs. */
  wait(handle: H, tId: number): void {
    const { taken, left } = divide(this.#queue, (queued, t_id) => queued.handle === handle && t_id === tId);
    this.#queue = left;
    this.#waiting.push(...taken);
  }

  /** The inputs of a part that waited are here. */
  ready(handle: H, tId: number): void {
    const { taken, left } = divide(this.#waiting, (queued, t_id) => queued.handle === handle && t_id === tId);
    this.#waiting = left;
    this.#queue.push(...taken);
  }

  /**
   * The next item to start, if one may start now, and those whose budget is over: before it in the queue, and `late` ones
   * that wait for inputs.
   */
  next(nowMs: number): { start: QueuedWork<H> | undefined; expired: QueuedWork<H>[]; late: QueuedWork<H>[] } {
    const isOver = ({ item }: QueuedWork<H>): boolean => nowMs >= item.deadlineMs;
    const late = this.#waiting.filter(isOver);
    if (late.length > 0) this.#waiting = this.#waiting.filter((queued) => !isOver(queued));
    const expired = this.#queue.filter(isOver);
    if (expired.length > 0) this.#queue = this.#queue.filter((queued) => !isOver(queued));
    const [first] = this.#queue;
    if (first === undefined || this.#running.size >= this.#limits.running) return { start: undefined, expired, late };
    const together = this.#queue.filter(({ handle }) => handle === first.handle);
    this.#queue = this.#queue.filter(({ handle }) => handle !== first.handle);
    const start = { ...first, item: { ...first.item, parts: together.flatMap(({ item }) => item.parts) } };
    this.#running.add(start);
    return { start, expired, late };
  }

  /** A started item has an outcome for each of its parts. */
  finished(queued: QueuedWork<H>): void {
    this.#running.delete(queued);
  }

  /**
   * Removes parts of a frame's stage. Returns them, one entry per affected item, with the dropped parts in `item.parts`;
   * running parts are not among them.
   */
  cancel(iId: string, stage: number, tIds: readonly number[]): QueuedWork<H>[] {
    return this.#take(({ item }, tId) => item.iId === iId && item.stage === stage && tIds.includes(tId));
  }

  /** Removes one part of an item. */
  drop(handle: H, tId: number): QueuedWork<H>[] {
    return this.#take((queued, t_id) => queued.handle === handle && t_id === tId);
  }

  /** Removes the parts of frames that have ended. */
  dropFrames(iIds: readonly string[]): QueuedWork<H>[] {
    return this.#take(({ item }) => iIds.includes(item.iId));
  }

  /** Removes the parts that wait for inputs. */
  dropWaiting(): QueuedWork<H>[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }

  /** Removes all, as after a lost connection, when other nodes have all of its work. */
  dropAll(): QueuedWork<H>[] {
    return this.#take(() => true);
  }

  #take(matches: (queued: QueuedWork<H>, tId: number) => boolean): QueuedWork<H>[] {
    const queue = divide(this.#queue, matches);
    const waiting = divide(this.#waiting, matches);
    this.#queue = queue.left;
    this.#waiting = waiting.left;
    return [...queue.taken, ...waiting.taken];
  }

  #sum(size: (part: SizedPart) => number): number {
    let sum = 0;
    for (const list of [this.#queue, this.#waiting, this.#running])
      for (const { item } of list) for (const part of item.parts) sum += size(part);
    return sum;
  }
}

/** Divides items into the parts that match and the others, in order. */
function divide<H>(
  list: readonly QueuedWork<H>[],
  matches: (queued: QueuedWork<H>, tId: number) => boolean,
): { taken: QueuedWork<H>[]; left: QueuedWork<H>[] } {
  const taken: QueuedWork<H>[] = [];
  const left: QueuedWork<H>[] = [];
  for (const queued of list) {
    const { item, handle } = queued;
    const parts = item.parts.filter(({ t_id }) => matches(queued, t_id));
    if (parts.length > 0) taken.push({ item: { ...item, parts }, handle });
    if (parts.length === 0) left.push(queued);
    else if (parts.length < item.parts.length)
      left.push({ item: { ...item, parts: item.parts.filter((part) => !parts.includes(part)) }, handle });
  }
  return { taken, left };
}

function bytesOf({ parts }: WorkItem): number {
  return parts.reduce((total, { bytes }) => total + bytes, 0);
}

/** The epoch of an `i_id` (`<epoch>-<counter>`). */
export function epochOf(iId: string): number {
  return Number(iId.slice(0, iId.indexOf('-')));
}
