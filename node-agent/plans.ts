import { failureOf, TesseraError } from '../shared/errors.ts';
import type { Executor } from '../shared/node/executor-types.ts';
import type { Plan } from '../shared/plan/plan.ts';
import { parsePlan } from '../shared/plan/validate.ts';
import type { Log } from '../shared/ports.ts';
import type { ControlMessage, ModelManifest } from '../shared/protocol/messages/control.ts';
import type { PlanProgress } from '../shared/protocol/messages/node.ts';
import { requireSignature } from '../shared/runtime/signature.ts';
import { detailOf } from '../shared/runtime/worker-call.ts';
import type { BlobFetch } from './blob-fetch.ts';
import { PlanBoard } from './plan-board.ts';

/** A `prepare` message. */
export type PrepareMessage = Extract<ControlMessage, { type: 'prepare' }>;
/** What a `prepare` message is answered with. */
export type PrepareAnswer = Extract<ControlMessage, { type: 'ready' | 'refused' }>;

/** What the plans of a node rest on. */
export interface PlansOptions {
  readonly executor: Executor;
  readonly fetch: BlobFetch;
  readonly bootId: string;
  /** Public keys, one of which must have signed a model; without any every model is run. */
  readonly trustedKeys?: readonly string[] | undefined;
  /** Called when a plan's work may begin, and with the model that it needs. */
  readonly onReady: (plan: string, manifest: ModelManifest) => void;
  /** Called when a plan's work must end. */
  readonly onGone: (plan: string) => void;
  readonly log: Log;
}

/** Plans kept at a time. A central that never releases must not fill a node's memory; sessions have their own bound. */
const MAX_PLANS = 32;
/** Plans that may wait to be prepared. */
const MAX_WAITING = 32;

/**
 * The plans of a node.
 *
 * plan: unknown --prepare--> preparing --pieces here, sessions run--> ready --release--> unknown
 *                            preparing --anything fails, release--> unknown; ready --lost by the executor--> unknown
 *
 * 1. One plan is prepared at a time, in the order of the messages: a small machine has one link and few cores.
 * 2. Every `prepare` is answered with `ready` or `refused`, and with its own number; for a plan that is ready at once,
 *    without waiting in line.
 * 3. With trusted keys, nothing of a model that none of them signed is fetched or loaded.
 * 4. A release takes effect when it arrives: work for the plan ends, and whatever was asked for before it is given up,
 *    also what still waits in line.
 * 5. A plan is ready only as long as the executor has it (`lost`).
 */
export class Plans {
  readonly #options: PlansOptions;
  /** Ready plans and their stages, the oldest first. */
  readonly #ready = new Map<string, ReadonlySet<number>>();
  readonly #board: PlanBoard;
  /** Of every `prepare` that is not answered: what gives it up. */
  readonly #asked = new Set<{ readonly plan: string; readonly abort: AbortController }>();
  #line: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: PlansOptions) {
    this.#options = options;
    this.#board = new PlanBoard(options.log, () => performance.now());
  }

  /** How far the node is with each plan that it was asked to prepare. */
  get progress(): PlanProgress[] {
    return this.#board.plans;
  }

  /** Answers a `prepare` of `from`, who is also asked for the pieces that are missing. */
  async prepare(from: string, message: PrepareMessage): Promise<PrepareAnswer> {
    let plan: Plan | undefined;
    const { ask } = message;
    const about = ask === undefined ? {} : { ask };
    try {
      plan = parsePlan(message.plan);
      if (plan.model !== message.manifest.skeleton.sha)
        throw new TesseraError('TESSERA_PLAN_INVALID', `the plan cuts model ${plan.model}, another one was offered`);
      const { trustedKeys = [] } = this.#options;
      if (trustedKeys.length > 0) requireSignature(message.manifest, trustedKeys);
      const { id } = plan;
      if (!this.#isReady(id, message.stages)) {
        const valid = plan;
        if (this.#waiting >= MAX_WAITING)
          throw new TesseraError('TESSERA_PLAN_INVALID', `${MAX_WAITING} plans wait to be prepared already`);
        const asked = { plan: id, abort: new AbortController() };
        this.#board.set(id, message.manifest.name, 'waiting');
        this.#asked.add(asked);
        await this.#inLine(() => this.#prepare(from, valid, message, asked.abort.signal)).finally(() =>
          this.#asked.delete(asked),
        );
      }
      return { v: 1, type: 'ready', plan: id, boot_id: this.#options.bootId, ...about };
    } catch (error) {
      const { code, message: text, hint } = failureOf(error);
      const detail = detailOf(error);
      if (detail !== undefined) this.#options.log.debug(`the runtime says: ${detail}`);
      const full = hint === undefined ? text : sentences(text, hint);
      const isWanted = plan !== undefined && !(error instanceof Released);
      if (isWanted) this.#board.set(plan!.id, message.manifest.name, 'refused', full);
      // Central says it for all nodes that refuse for the same reason.
      if (!(error instanceof Released)) this.#options.log.info(`refuses a plan: ${full}`, { plan: plan?.id, code });
      return {
        v: 1,
        type: 'refused',
        plan: plan?.id ?? claimedId(message.plan),
        code,
        text: full.slice(0, 1000),
        ...about,
      };
    }
  }

  release(plan: string): void {
    for (const asked of this.#asked) if (asked.plan === plan) asked.abort.abort();
    this.#board.forget(plan);
    if (!this.#ready.delete(plan)) return;
    this.#options.onGone(plan);
    this.#inLine(() => this.#options.executor.release(plan)).catch(() => {});
  }

  /** The executor does not have this plan any more: it has to be prepared again before work is taken for it. */
  lost(plan: string): void {
    if (!this.#ready.delete(plan)) return;
    this.#board.forget(plan);
    this.#options.onGone(plan);
  }

  #isReady(plan: string, stages: readonly number[]): boolean {
    const ready = this.#ready.get(plan);
    return ready !== undefined && stages.every((stage) => ready.has(stage));
  }

  async #prepare(from: string, plan: Plan, { manifest, stages }: PrepareMessage, signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw released(plan.id);
    if (this.#isReady(plan.id, stages)) return;
    const started = performance.now();
    await this.#fetch(from, plan, stages, manifest, signal).finally(() => this.#board.fetchEnded());
    const fetched = performance.now();
    if (!signal.aborted) this.#board.set(plan.id, manifest.name, 'loading');
    await this.#options.executor.prepare(plan, stages, manifest.skeleton.sha);
    if (signal.aborted) {
      await this.#options.executor.release(plan.id);
      throw released(plan.id);
    }
    this.#ready.set(plan.id, new Set([...(this.#ready.get(plan.id) ?? []), ...stages]));
    this.#board.set(plan.id, manifest.name, 'ready');
    this.#options.onReady(plan.id, manifest);
    this.#options.log.info(`ready for plan ${plan.id} of model ${manifest.name}`, {
      fetch_ms: Math.round(fetched - started),
      load_ms: Math.round(performance.now() - fetched),
    });
    const oldest = this.#ready.keys().next().value;
    if (this.#ready.size > MAX_PLANS && oldest !== undefined) this.release(oldest);
  }

  /** Gets the graph, and then what these stages read of the weights: the rest of the model is for others. */
  async #fetch(
    from: string,
    plan: Plan,
    stages: readonly number[],
    { name, skeleton, blobs }: ModelManifest,
    signal: AbortSignal,
  ): Promise<void> {
    const { fetch, executor } = this.#options;
    await fetch.fetch(from, [skeleton], signal);
    const read = new Set(await executor.weights(plan, stages, skeleton.sha));
    const wanted = blobs.filter(({ sha }) => read.delete(sha));
    const [unnamed] = read;
    if (unnamed !== undefined)
      throw new TesseraError('TESSERA_BLOB', `the model reads weights ${unnamed}, which its manifest does not name`);
    await fetch.fetch(from, wanted, signal, (bytes, of) => this.#board.fetched(plan.id, name, bytes, of));
  }

  #inLine<T>(action: () => Promise<T>): Promise<T> {
    this.#waiting++;
    const turn = this.#line.then(action).finally(() => this.#waiting--);
    this.#line = turn.catch(() => {});
    return turn;
  }
}

/** The id that something claims to have, for an answer about what is not a plan. */
function claimedId(plan: unknown): string {
  const id = typeof plan === 'object' && plan !== null && 'id' in plan ? plan.id : undefined;
  return typeof id === 'string' ? id.slice(0, 1000) : '';
}

/** Nobody waits for this plan any more. */
class Released extends TesseraError {}

function released(plan: string): TesseraError {
  return new Released('TESSERA_PLAN_INVALID', `plan ${plan} was released while it was prepared`);
}

/** What is wrong and what to do, one after the other. */
function sentences(text: string, hint: string): string {
  if (!/^\p{Lu}/u.test(hint)) return `${text}; ${hint}`;
  return `${text}${/[.!?]$/.test(text) ? '' : '.'} ${hint}`;
}
