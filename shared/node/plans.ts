import { detailOf, failureOf, TesseraError } from '../errors.ts';
import { neededSide } from '../model/picture-placement.ts';
import type { Plan } from '../plan/plan.ts';
import { parsePlan } from '../plan/validate.ts';
import type { Log } from '../ports.ts';
import type { ControlMessage, ModelManifest } from '../protocol/messages/control.ts';
import type { PlanProgress } from '../protocol/messages/node.ts';
import type { Executor } from './executor-types.ts';
import { piecesOf } from './pieces.ts';
import { PreparationProgress } from './preparation-progress.ts';

/** A `prepare` message. */
export type PrepareMessage = Extract<ControlMessage, { type: 'prepare' }>;
/** The answer to a `prepare` message. */
export type PrepareAnswer = Extract<ControlMessage, { type: 'ready' | 'refused' }>;

/** What a caller is told of a fetch. */
export interface BlobHandlers {
  /** Gets how many of how many bytes are here. */
  readonly bytes?: (arrived: number, of: number) => void;
  /** A blob is here, checked. */
  readonly stored?: (sha: string) => void;
}

/** The source of models' blobs. */
export interface BlobSource {
  /** Fetches those of `blobs` that are not here, in their order; `from` is central. Throws TESSERA_BLOB. */
  fetch(from: string, blobs: ModelManifest['blobs'], signal: AbortSignal, on?: BlobHandlers): Promise<void>;
}

/** What the plans of a node need. `now` is a steady clock, milliseconds. */
export interface PlansOptions {
  readonly executor: Pick<Executor, 'plans' | 'prepared' | 'weights' | 'prepare' | 'release'>;
  /** Absent: every blob is here already. */
  readonly blobs?: BlobSource;
  readonly bootId: string;
  /** How many plans may be ready, and how many may wait to be prepared. */
  readonly maxPlans: number;
  /** Throws TESSERA_SIGNATURE for a model that this node does not trust; absent: every model is accepted. */
  readonly requireTrust?: ((manifest: ModelManifest) => void) | undefined;
  /** Called with the model of a plan that is ready. */
  readonly onReady?: ((manifest: ModelManifest) => void) | undefined;
  /** Called when a plan was released: its work must end. */
  readonly onGone: (plan: string) => void;
  readonly now: () => number;
  readonly log: Log;
}

/**
 * Prepares and releases the plans of a node. Only the executor knows which plans are ready.
 *
 *   plan: unknown --prepare--> preparing --blobs here, sessions run--> ready --release--> unknown
 *   preparing --anything fails, release--> unknown; ready --its executor could not prepare it again--> unknown
 *
 * 1. One plan is prepared at a time, in the order of the messages: a small machine has one link and few cores.
 * 2. Every `prepare` is answered with `ready` or `refused`, and with its own number; for a plan that is ready already,
 *    at once.
 * 3. Nothing of an untrusted model is fetched or loaded.
 * 4. A release takes effect when it arrives: work for the plan ends, and preparations that were requested before it are
 *    aborted, also queued ones.
 * 5. A node keeps `maxPlans` plans; beyond them the oldest is released. Sessions have a limit of their own.
 * 6. A stage is loaded as soon as its blobs are here, and `ready` for it is sent while those of later stages arrive (IONN).
 */
export class Plans {
  readonly #options: PlansOptions;
  readonly #progress: PreparationProgress;
  /** Unanswered preparations, with their abort controllers. */
  readonly #open = new Set<{ readonly plan: string; readonly abort: AbortController }>();
  /** Models of the plans of which a stage is ready. */
  readonly #manifests = new Map<string, ModelManifest>();
  #line: Promise<unknown> = Promise.resolve();

  constructor(options: PlansOptions) {
    this.#options = options;
    this.#progress = new PreparationProgress(options.log, options.now);
  }

  /** The node's progress with each plan that it was asked to prepare. */
  get progress(): PlanProgress[] {
    const { executor } = this.#options;
    return this.#progress.plans.filter(({ id, state }) => state !== 'ready' || executor.prepared(id).size > 0);
  }

  /** Bytes of a piece of a model whose plan is ready here, or some of its stages; undefined for any other blob. */
  sizeOf(sha: string): number | undefined {
    for (const manifest of this.#manifests.values()) {
      const size = piecesOf(manifest).get(sha);
      if (size !== undefined) return size;
    }
    return undefined;
  }

  /**
   * Prepares a plan; missing blobs are fetched. `onStages` gets the answer for stages that are ready while others are not.
   * Never throws.
   */
  async prepare(
    from: string,
    message: PrepareMessage,
    onStages: (answer: PrepareAnswer) => void = () => {},
  ): Promise<PrepareAnswer> {
    let plan: Plan | undefined;
    const { request, manifest, stages } = message;
    const { bootId, maxPlans, requireTrust, log } = this.#options;
    const about = request === undefined ? {} : { request };
    const answer = (id: string) => ({ v: 1, type: 'ready', plan: id, boot_id: bootId, ...about }) as const;
    try {
      plan = parsePlan(message.plan);
      const { id } = plan;
      if (plan.model !== manifest.skeleton.sha)
        throw new TesseraError('TESSERA_PLAN_INVALID', `the plan cuts model ${plan.model}, another one was offered`);
      requireTrust?.(manifest);
      if (!this.#isReady(plan.id, stages)) {
        if (this.#open.size >= maxPlans)
          throw new TesseraError('TESSERA_PLAN_INVALID', `${maxPlans} plans wait to be prepared already`);
        await this.#inLine(from, plan, message, (ready) => onStages({ ...answer(id), stages: [...ready] }));
      }
      return answer(id);
    } catch (error) {
      const { code, message: text, hint } = failureOf(error);
      const full = hint === undefined ? text : sentences(text, hint);
      if (!(error instanceof Released)) {
        const detail = detailOf(error);
        if (detail !== undefined) log.debug(`the runtime says: ${detail}`);
        if (plan !== undefined) this.#progress.set(plan.id, manifest.name, 'refused', full);
        // Central logs one warning for all nodes that refuse for the same reason.
        log.info(`refuses a plan: ${full}`, { plan: plan?.id, code });
      }
      const id = plan?.id ?? claimedId(message.plan);
      return { v: 1, type: 'refused', plan: id, code, text: full.slice(0, 1000), ...about };
    }
  }

  /** How pictures become the input of a plan's network; undefined where no stage is ready, or it takes no pictures. */
  pictureOf(plan: string): ModelManifest['picture'] {
    return this.#options.executor.prepared(plan).size > 0 ? this.#manifests.get(plan)?.picture : undefined;
  }

  /** The shorter side that the networks of all plans need of pictures; undefined where none takes pictures. */
  get neededSide(): number | undefined {
    const sides = [...this.#manifests.values()].flatMap(({ picture }) => (picture ? [neededSide(picture)] : []));
    return sides.length === 0 ? undefined : Math.max(...sides);
  }

  release(plan: string): void {
    const isReady = this.#options.executor.prepared(plan).size > 0;
    let isOpen = false;
    for (const preparation of this.#open)
      if (preparation.plan === plan) {
        preparation.abort.abort();
        isOpen = true;
      }
    this.#progress.forget(plan);
    this.#manifests.delete(plan);
    if (isReady || isOpen) void this.#options.executor.release(plan).catch(() => {});
    if (isReady) this.#options.onGone(plan);
  }

  #isReady(plan: string, stages: readonly number[]): boolean {
    const prepared = this.#options.executor.prepared(plan);
    return prepared.size > 0 && stages.every((stage) => prepared.has(stage));
  }

  async #inLine(from: string, plan: Plan, message: PrepareMessage, onStages: OnStages): Promise<void> {
    const preparation = { plan: plan.id, abort: new AbortController() };
    const { signal } = preparation.abort;
    this.#progress.set(plan.id, message.manifest.name, 'waiting');
    this.#open.add(preparation);
    const turn = this.#line.then(() => this.#prepare(from, plan, message, signal, onStages));
    this.#line = turn.catch(() => {});
    try {
      await turn;
    } catch (error) {
      throw signal.aborted
        ? new Released('TESSERA_PLAN_INVALID', `plan ${plan.id} was released while it was prepared`)
        : error;
    } finally {
      this.#open.delete(preparation);
    }
  }

  async #prepare(
    from: string,
    plan: Plan,
    message: PrepareMessage,
    signal: AbortSignal,
    onStages: OnStages,
  ): Promise<void> {
    signal.throwIfAborted();
    const { manifest, stages } = message;
    if (this.#isReady(plan.id, stages)) return;
    const { executor, blobs, maxPlans, onReady, now, log } = this.#options;
    const started = now();
    let fetched = started;
    if (blobs === undefined) await this.#load(plan, stages, manifest);
    else
      try {
        await this.#fetchAndLoad(blobs, from, plan, message, signal, onStages, () => {
          fetched = now();
        });
      } finally {
        this.#progress.fetchEnded();
      }
    signal.throwIfAborted();
    this.#progress.set(plan.id, manifest.name, 'ready');
    onReady?.(manifest);
    log.info(`ready for plan ${plan.id} of model ${manifest.name}`, {
      fetch_ms: Math.round(fetched - started),
      load_ms: Math.round(now() - fetched),
    });
    const ready = executor.plans();
    if (ready.length > maxPlans) this.release(ready[0]!);
  }

  async #load(plan: Plan, stages: readonly number[], manifest: ModelManifest): Promise<void> {
    await this.#options.executor.prepare(plan, stages, manifest.skeleton.sha, manifest.slices);
    this.#manifests.set(plan.id, manifest);
  }

  /**
   * Fetches the graph, then the weights that these stages read, those of the first stages first, and loads each stage as
   * soon as its weights are here. Other stages' weights are not needed.
   */
  async #fetchAndLoad(
    source: BlobSource,
    from: string,
    plan: Plan,
    { stages, manifest }: PrepareMessage,
    signal: AbortSignal,
    onStages: OnStages,
    onFetched: () => void,
  ): Promise<void> {
    const { name, skeleton, blobs, slices = [] } = manifest;
    await source.fetch(from, [skeleton], signal);
    const missing = new Map<number, Set<string>>();
    const loaded = this.#options.executor.prepared(plan.id);
    for (const stage of stages.filter((id) => !loaded.has(id)))
      missing.set(stage, new Set(await this.#options.executor.weights(plan, [stage], skeleton.sha, slices)));
    const named = new Map([...blobs, ...slices].map((blob) => [blob.sha, blob]));
    const wanted = [...new Set([...missing.values()].flatMap((read) => [...read]))].map((sha) => {
      const blob = named.get(sha);
      if (blob !== undefined) return blob;
      throw new TesseraError('TESSERA_BLOB', `the model reads weights ${sha}, which its manifest does not name`);
    });
    const failed = new AbortController();
    const ready = stages.filter((id) => loaded.has(id));
    let loading = Promise.resolve();
    const loadComplete = (): void => {
      for (const [stage, read] of missing) {
        if (read.size > 0) continue;
        missing.delete(stage);
        loading = loading.then(async () => {
          signal.throwIfAborted();
          await this.#load(plan, [stage], manifest);
          ready.push(stage);
          if (ready.length < stages.length) onStages(ready);
        });
        loading.catch((error: unknown) => failed.abort(error));
      }
    };
    loadComplete();
    try {
      await source.fetch(from, wanted, AbortSignal.any([signal, failed.signal]), {
        bytes: (bytes, of) => this.#progress.fetched(plan.id, name, bytes, of),
        stored: (sha) => {
          for (const read of missing.values()) read.delete(sha);
          loadComplete();
        },
      });
      onFetched();
      if (ready.length < stages.length) this.#progress.set(plan.id, name, 'loading');
      await loading;
    } catch (error) {
      await loading.catch(() => {});
      throw failed.signal.aborted ? failed.signal.reason : error;
    }
  }
}

type OnStages = (ready: readonly number[]) => void;

/** The id in something that is no valid plan, for the answer about it. */
function claimedId(plan: unknown): string {
  const id = typeof plan === 'object' && plan !== null && 'id' in plan ? plan.id : undefined;
  return typeof id === 'string' ? id.slice(0, 1000) : '';
}

/** The plan was released before it was ready. */
class Released extends TesseraError {}

/** The fault and the hint as one text. */
function sentences(text: string, hint: string): string {
  if (!/^\p{Lu}/u.test(hint)) return `${text}; ${hint}`;
  return `${text}${/[.!?]$/.test(text) ? '' : '.'} ${hint}`;
}
