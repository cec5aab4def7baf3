import { failureOf } from '../errors.ts';
import { LogThrottle } from '../log-throttle.ts';
import type { ReceivedWork } from '../protocol/messages/received-work.ts';
import type { RegionPlace } from '../protocol/messages/region.ts';
import type { ResultMessage, WorkMessage } from '../protocol/messages/work.ts';
import type { Epochs } from './epochs.ts';
import type { Executor, PartError, StageRegions } from './executor-types.ts';
import { PartRate } from './part-rate.ts';
import { type Need, placeOf, RegionIndex, type Settled } from './region-index.ts';
import { regionsText } from './region-text.ts';
import { inlineBytes, type WorkPart, workPart } from './work-parts.ts';
import { epochOf, type QueuedWork, type Refusal, type WorkLimits, WorkQueue } from './work-queue.ts';
import { type RunOptions, runParts } from './work-run.ts';

/** What the work handler needs. `now` is a steady clock, milliseconds. */
export interface WorkHandlerOptions extends RunOptions {
  readonly id: string;
  readonly executor: Pick<Executor, 'prepared' | 'preparedPlan' | 'run' | 'cancel' | 'free' | 'onLoss'>;
  readonly send: (to: string, message: ResultMessage) => Promise<unknown>;
  /** Calls a function once after some ms. */
  readonly after: (ms: number, call: () => void) => void;
  readonly epochs: Epochs;
  /** `regionBytes`: of regions that are kept here for later parts. */
  readonly limits: WorkLimits & { readonly regionBytes: number };
}

/** The fields of a work message that its answer repeats. */
type AnswerFields = Pick<WorkMessage, 'plan' | 'i_id' | 'stage' | 'attempt'>;

interface Ticket {
  readonly from: string;
  readonly repeated: AnswerFields;
  readonly parts: Map<number, HeldPart>;
}

interface HeldPart extends WorkPart {
  readonly ticket: Ticket;
}

/** Longest time between two looks for parts that are late and for frames that are not used, ms. */
const LOOK_MS = 30_000;

/**
 * Receives work, has it run, answers it: every part of every work message has exactly one answer. A part whose inputs are
 * not all here waits for them outside the queue, for its budget.
 */
export class WorkHandler {
  readonly rate = new PartRate();
  /** Parts that were made here, and that the runtime could not make, since the start. */
  readonly outcomes = { made: 0, failed: 0 };
  /** The regions of this node. */
  readonly regions: RegionIndex<HeldPart>;
  readonly #options: WorkHandlerOptions;
  readonly #queue: WorkQueue<Ticket>;
  readonly #throttledLog: LogThrottle;
  #nextLookMs = Infinity;

  constructor(options: WorkHandlerOptions) {
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, options.now);
    const { executor, limits, epochs } = options;
    this.#queue = new WorkQueue(limits, (plan) => executor.prepared(plan).size > 0, epochs);
    this.regions = new RegionIndex(limits.regionBytes, (iIds) => executor.free(iIds));
    executor.onLoss(() => this.#regionsLost());
  }

  /** Parts that wait or run. */
  get waiting(): number {
    return this.#queue.tiles;
  }

  /** Parts that wait for inputs. */
  get waitingForInputs(): number {
    return this.#queue.waiting;
  }

  /** The plan was released: its work ends. */
  planGone(plan: string): void {
    this.#refuse(this.#queue.dropPlan(plan), { code: 'unknown-plan', text: `plan ${plan} was released` });
    this.regions.dropFrames((_, of) => of === plan);
  }

  /**
   * A message of this epoch arrived; returns a refusal where the epoch does not count, and then the message must be
   * ignored.
   */
  enter(epoch: number): Refusal | undefined {
    const entered = this.#queue.enter(epoch, this.#options.now());
    if ('code' in entered) return entered;
    this.#refuse(entered.dropped, { code: 'expired', text: `epoch ${epoch} has begun` });
    this.regions.dropFrames((iId) => epochOf(iId) !== epoch);
    if (entered.note !== undefined) this.#options.log.warn(entered.note);
    return undefined;
  }

  /** After a lost connection: other nodes have the queued parts by now. */
  connectionLost(): void {
    const text = 'the connection to the broker was lost meanwhile';
    this.#refuse(this.#queue.dropAll(), { code: 'expired', text });
  }

  cancel(message: { i_id: string; stage: number; t_id: readonly number[] }): void {
    this.#refuse(this.#queue.cancel(message.i_id, message.stage, message.t_id), { code: 'expired', text: 'cancelled' });
    this.#options.executor.cancel(message.i_id, message.stage, message.t_id);
  }

  /** Frames have ended: nothing of them is needed any more. */
  free(iIds: readonly string[]): void {
    this.#refuse(this.#queue.dropFrames(iIds), { code: 'expired', text: 'the frame has ended' });
    this.regions.free(iIds);
  }

  /** Regions of a frame arrived and are kept. */
  regionsArrived(iId: string): void {
    this.#settle(this.regions.settle(iId));
    this.#pump();
  }

  /**
   * Handles a work message whose bytes may alias a buffer of the MQTT client; false where it is not valid, which is
   * answered with `bad-input`.
   */
  receive(from: string, work: ReceivedWork): boolean {
    if ('fault' in work) {
      const error = { code: 'bad-input', text: `work: ${work.fault}`.slice(0, 1000) } as const;
      this.#answer(
        from,
        work.address,
        work.address.tiles.map(({ t_id }) => ({ t_id, error })),
        0,
      );
      return false;
    }
    this.#accept(from, work.message, (bytes) => new Uint8Array(bytes));
    return true;
  }

  /** Handles work whose buffers the caller gives away. */
  accept(from: string, message: WorkMessage): void {
    this.#accept(from, message, (bytes) => bytes);
  }

  #accept(from: string, message: WorkMessage, own: (bytes: Uint8Array) => Uint8Array): void {
    const now = this.#options.now();
    const { plan, i_id, stage, attempt } = message;
    const ticket: Ticket = { from, repeated: { plan, i_id, stage, attempt }, parts: new Map() };
    const item = {
      plan,
      iId: i_id,
      stage,
      attempt,
      parts: message.tiles.map((tile) => ({ t_id: tile.t_id, bytes: inlineBytes(tile) })),
      arrivedMs: now,
      deadlineMs: now + message.budget_ms,
    };
    const stale = this.enter(epochOf(i_id));
    if (stale !== undefined) this.#throttledLog.warn('epoch', `work of ${from} is ignored: ${stale.text}`);
    const refusal = stale ?? this.#fault(message) ?? this.#queue.offer(item, ticket, now);
    if (refusal !== undefined) this.#refuse([{ item, handle: ticket }], refusal);
    else {
      const regions = this.#stageRegions(message);
      for (const tile of message.tiles) {
        const { t_id } = tile;
        const part = workPart(tile, message, { self: this.#options.id, from }, regions, own);
        const begun = 'code' in part ? part : this.#begin({ ...part, ticket }, now);
        if (begun === 'waits') this.#queue.wait(ticket, t_id);
        else if (begun !== undefined) this.#refuse(this.#queue.drop(ticket, t_id), begun);
      }
    }
    this.#pump();
  }

  #begin(part: HeldPart, now: number): 'waits' | Refusal | undefined {
    part.ticket.parts.set(part.tile.t_id, part);
    return this.regions.begin(part, now);
  }

  /** What is wrong with a message whatever the plan says. */
  #fault({ i_id, tiles }: WorkMessage): Refusal | undefined {
    if (this.regions.isFreed(i_id)) return { code: 'expired', text: 'the frame has ended' };
    const isTwice = new Set(tiles.map(({ t_id }) => t_id)).size < tiles.length;
    return isTwice ? { code: 'bad-input', text: 'a tile is named twice' } : undefined;
  }

  #stageRegions({ plan, stage }: Pick<WorkMessage, 'plan' | 'stage'>): StageRegions | undefined {
    return this.#options.executor.preparedPlan(plan)?.stages.get(stage);
  }

  #pump(): void {
    for (;;) {
      const { start, expired, late } = this.#queue.next(this.#options.now());
      this.#refuse(expired, { code: 'expired', text: 'the budget was over before its turn' });
      this.#refuseMissing(late, 'did not come within the budget', (part) => this.regions.unmet(part));
      if (start === undefined) break;
      void this.#run(start);
    }
    this.#lookLater();
  }

  /** Refuses parts one by one, each for its own regions. */
  #refuseMissing(
    dropped: readonly QueuedWork<Ticket>[],
    why: string,
    missing: (part: HeldPart) => readonly Need[],
  ): void {
    for (const { item, handle } of dropped)
      for (const part of item.parts) {
        const regions = missing(handle.parts.get(part.t_id)!);
        const text = `${regionsText(regions)} ${why}`;
        this.#refuse([{ item: { ...item, parts: [part] }, handle }], { code: 'missing-input', text, missing: regions });
      }
  }

  /** Parts may be late, and frames unused, when nothing else happens. */
  #lookLater(): void {
    const now = this.#options.now();
    if (this.#queue.waiting === 0 && this.regions.isEmpty) return;
    const atMs = Math.min(this.#queue.firstDeadlineMs, now + LOOK_MS);
    if (atMs >= this.#nextLookMs) return;
    this.#nextLookMs = atMs;
    this.#options.after(Math.max(0, atMs - now), () => {
      if (this.#nextLookMs === atMs) this.#nextLookMs = Infinity;
      this.regions.dropUnused(this.#options.now());
      this.#pump();
    });
  }

  async #run(queued: QueuedWork<Ticket>): Promise<void> {
    const { item, handle } = queued;
    const { from, repeated } = handle;
    await runParts(this.#options, repeated, item, {
      parts: item.parts.map(({ t_id }) => handle.parts.get(t_id)!),
      ended: (part, outcome) => {
        if ('out' in outcome) this.rate.add(outcome.compute_ms);
        if ('out' in outcome) this.outcomes.made++;
        else if (outcome.error.code === 'run-failed') this.outcomes.failed++;
        this.#ended(part, 'out' in outcome, 'error' in outcome ? outcome.error.regions : undefined);
      },
      answer: (tiles, queueMs) => this.#answer(from, repeated, tiles, queueMs),
    });
    this.#queue.finished(queued);
    this.#pump();
  }

  #ended(part: HeldPart, isMade: boolean, lost?: readonly RegionPlace[]): void {
    if (part.needs.length === 0 && part.makes.length === 0) return;
    this.#settle(this.regions.end(part, isMade, this.#options.now(), lost));
  }

  #settle({ ready, stuck }: Settled<HeldPart>): void {
    for (const { ticket, tile } of ready) this.#queue.ready(ticket, tile.t_id);
    for (const { part, missing } of stuck) {
      const dropped = this.#queue.drop(part.ticket, part.tile.t_id);
      this.#refuseMissing(dropped, 'is not here, and no part here makes it', () => missing);
    }
    if (ready.length > 0) this.#pump();
  }

  /** The executor's thread ended and took the regions along: they will not come a second time. */
  #regionsLost(): void {
    const waiting = this.#queue.dropWaiting();
    this.regions.dropFrames(() => true);
    this.#refuseMissing(waiting, 'was here and is lost', ({ needs }) => needs);
  }

  #refuse(dropped: readonly QueuedWork<Ticket>[], { code, text, missing }: Refusal): void {
    const error: PartError = { code, text: text.slice(0, 1000), ...(missing && { regions: missing.map(placeOf) }) };
    for (const { item, handle } of dropped) {
      const tiles = item.parts.map(({ t_id }) => ({ t_id, error }));
      const queueMs = Math.max(0, this.#options.now() - item.arrivedMs);
      if (tiles.length > 0) this.#answer(handle.from, handle.repeated, tiles, queueMs);
      for (const { t_id } of item.parts) {
        const part = handle.parts.get(t_id);
        if (part !== undefined) this.#ended(part, false);
      }
    }
  }

  #answer(
    to: string,
    { plan, i_id, stage, attempt }: AnswerFields,
    tiles: ResultMessage['tiles'],
    queueMs: number,
  ): void {
    this.#options
      .send(to, { v: 1, plan, i_id, stage, attempt, n_id: this.#options.id, queue_ms: queueMs, tiles })
      .catch((error: unknown) => this.#options.log.warn(`a result could not be sent: ${failureOf(error).message}`));
  }
}
