import { failureOf } from '../errors.ts';
import { LogThrottle } from '../log-throttle.ts';
import type { Log } from '../ports.ts';
import { inlineRegions } from '../protocol/messages/region.ts';
import {
  type ResultMessage,
  type WorkAddress,
  type WorkError,
  type WorkMessage,
  workMessage,
} from '../protocol/messages/work.ts';
import { parse } from '../schema.ts';
import type { Epochs } from './epochs.ts';
import type { Executor, Job } from './executor-types.ts';
import { PartRate } from './part-rate.ts';
import { ResultGroup } from './result-group.ts';
import { epochOf, type QueuedWork, type Refusal, type WorkLimits, WorkQueue } from './work-queue.ts';

/** What the work handler needs. `now` is a steady clock, milliseconds. */
export interface WorkHandlerOptions {
  readonly id: string;
  readonly executor: Pick<Executor, 'prepared' | 'run' | 'cancel'>;
  readonly send: (to: string, message: ResultMessage) => Promise<unknown>;
  readonly now: () => number;
  readonly log: Log;
  readonly epochs: Epochs;
  readonly limits: WorkLimits;
  /** Results are combined up to this size, so that fewer messages are sent. */
  readonly messageBytes: number;
}

/** The fields of a work message that its answer repeats. */
type AnswerFields = Pick<WorkMessage, 'plan' | 'i_id' | 'stage' | 'attempt'>;

interface Ticket {
  readonly from: string;
  readonly repeated: AnswerFields;
  job: Job | undefined;
}

/** Receives work, has it run, answers it: every part of every work message has exactly one answer. */
export class WorkHandler {
  readonly rate = new PartRate();
  readonly #options: WorkHandlerOptions;
  readonly #queue: WorkQueue<Ticket>;
  readonly #throttledLog: LogThrottle;

  constructor(options: WorkHandlerOptions) {
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, options.now);
    const { executor, limits, epochs } = options;
    this.#queue = new WorkQueue(limits, (plan) => executor.prepared(plan).size > 0, epochs);
  }

  /** Parts that wait or run. */
  get waiting(): number {
    return this.#queue.tiles;
  }

  /** The plan was released: its work ends. */
  planGone(plan: string): void {
    this.#refuse(this.#queue.dropPlan(plan), 'unknown-plan', `plan ${plan} was released`);
  }

  /**
   * A message of this epoch arrived; returns a refusal where the epoch does not count, and then the message must be
   * ignored.
   */
  enter(epoch: number): Refusal | undefined {
    const entered = this.#queue.enter(epoch, this.#options.now());
    if ('code' in entered) return entered;
    this.#refuse(entered.dropped, 'expired', `epoch ${epoch} has begun`);
    if (entered.note !== undefined) this.#options.log.warn(entered.note);
    return undefined;
  }

  /** After a lost connection: other nodes have the queued parts by now. */
  connectionLost(): void {
    this.#refuse(this.#queue.dropAll(), 'expired', 'the connection to the broker was lost meanwhile');
  }

  cancel(message: { i_id: string; stage: number; t_id: readonly number[] }): void {
    this.#refuse(this.#queue.cancel(message.i_id, message.stage, message.t_id), 'expired', 'cancelled');
    this.#options.executor.cancel(message.i_id, message.stage, message.t_id);
  }

  /**
   * Handles a work message whose bytes may alias a buffer of the MQTT client; false where it is not valid, which is
   * answered with `bad-input`.
   */
  receive(from: string, address: WorkAddress): boolean {
    let message: WorkMessage;
    try {
      message = parse(workMessage, address, 'TESSERA_MESSAGE_INVALID', 'work');
    } catch (error) {
      const refused = { code: 'bad-input', text: failureOf(error).message.slice(0, 1000) } as const;
      const tiles = address.tiles.map(({ t_id }) => ({ t_id, error: refused }));
      this.#answer(from, address, tiles, 0);
      return false;
    }
    this.#accept(from, message, (bytes) => new Uint8Array(bytes));
    return true;
  }

  /** Handles work whose buffers the caller gives away. */
  accept(from: string, message: WorkMessage): void {
    this.#accept(from, message, (bytes) => bytes);
  }

  #accept(from: string, message: WorkMessage, own: (bytes: Uint8Array) => Uint8Array): void {
    const now = this.#options.now();
    const { plan, i_id, stage, attempt } = message;
    const ticket: Ticket = { from, repeated: { plan, i_id, stage, attempt }, job: undefined };
    const item = {
      plan,
      iId: i_id,
      stage,
      attempt,
      tIds: message.tiles.map((tile) => tile.t_id),
      bytes: inputBytes(message),
      arrivedMs: now,
      deadlineMs: now + message.budget_ms,
    };
    const unsupported = unsupportedBy(from, message);
    const stale = this.enter(epochOf(i_id));
    if (stale !== undefined) this.#throttledLog.warn('epoch', `work of ${from} is ignored: ${stale.text}`);
    const refusal =
      stale ??
      (unsupported === undefined
        ? this.#queue.offer(item, ticket, now)
        : ({ code: 'bad-input', text: unsupported } as const));
    if (refusal !== undefined) this.#refuse([{ item, handle: ticket }], refusal.code, refusal.text);
    else ticket.job = jobOf(message, own);
    this.#pump();
  }

  #pump(): void {
    for (;;) {
      const { start, expired } = this.#queue.next(this.#options.now());
      this.#refuse(expired, 'expired', 'the budget was over before its turn');
      if (start === undefined) return;
      void this.#run(start);
    }
  }

  async #run(queued: QueuedWork<Ticket>): Promise<void> {
    const { item, handle } = queued;
    const group = new ResultGroup(this.#options.messageBytes);
    const open = new Set(item.tIds);
    let queueMs = 0;
    let first = true;
    try {
      const job = handle.job!;
      const tiles = job.tiles.filter((tile) => open.has(tile.t_id));
      handle.job = undefined;
      await this.#options.executor.run({ ...job, tiles }, (outcome) => {
        open.delete(outcome.t_id);
        if ('out' in outcome) {
          this.rate.add(outcome.compute_ms);
          if (first) queueMs = Math.max(0, this.#options.now() - outcome.compute_ms - item.arrivedMs);
          first = false;
        }
        for (const tiles of group.add(outcome)) this.#answer(handle.from, handle.repeated, tiles, queueMs);
      });
    } catch (error) {
      const { message } = failureOf(error);
      this.#options.log.error(`work failed: ${message}`, { plan: item.plan });
      this.#refuse([{ item: { ...item, tIds: [...open] }, handle }], 'run-failed', message);
    }
    const rest = group.rest();
    if (rest !== undefined) this.#answer(handle.from, handle.repeated, rest, queueMs);
    this.#queue.finished(queued);
    this.#pump();
  }

  #refuse(dropped: readonly QueuedWork<Ticket>[], code: WorkError, text: string): void {
    for (const { item, handle } of dropped) {
      const error = { code, text: text.slice(0, 1000) };
      if (item.tIds.length > 0)
        this.#answer(
          handle.from,
          handle.repeated,
          item.tIds.map((t_id) => ({ t_id, error })),
          Math.max(0, this.#options.now() - item.arrivedMs),
        );
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

function inputBytes(message: WorkMessage): number {
  let bytes = 0;
  for (const tile of message.tiles) for (const region of tile.in) if ('d' in region) bytes += region.d.byteLength;
  return bytes;
}

/** The first field of a work message that the protocol reserves and this version does not support. */
function unsupportedBy(from: string, message: WorkMessage): string | undefined {
  for (const tile of message.tiles) {
    if (tile.in.some((region) => !('d' in region)))
      return 'only inline inputs are supported, not those that are stored here or come from another node';
    if (tile.out.some(({ to }) => to.length > 1 || to[0] !== from))
      return 'results go to the sender of the work only, not to other nodes';
  }
  return undefined;
}

/** The work with bytes of its own, in buffers that can be transferred to the worker. */
function jobOf({ plan, i_id, stage, tiles }: WorkMessage, own: (bytes: Uint8Array) => Uint8Array): Job {
  return {
    plan,
    i_id,
    stage,
    tiles: tiles.map(({ t_id, in: inputs, out }) => ({
      t_id,
      in: inlineRegions(inputs).map((region) => ({ ...region, d: own(region.d) })),
      out,
    })),
  };
}
