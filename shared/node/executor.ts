import '../runtime/no-telemetry.ts';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { failureOf, TesseraError } from '../errors.ts';
import type { Plan } from '../plan/plan.ts';
import type { Log } from '../ports.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import type { RegionPlace, WireRegion } from '../protocol/messages/region.ts';
import type { WorkInput } from '../protocol/messages/work.ts';
import { buffersOf, ownBytes, WorkerCalls } from '../runtime/worker-call.ts';
import { workerEntry } from '../runtime/worker-entry.ts';
import type {
  Executor,
  Job,
  MeasuredStage,
  MeasureOptions,
  PartOutcome,
  PreparedPlan,
  StageRegions,
} from './executor-types.ts';
import type { ExecutorWorkerData } from './executor-worker.ts';
import type { AskedRegion } from './region-store.ts';
import { fastestSettings, type RuntimeSettings, type Tuned } from './runtime-settings.ts';
import { Turns } from './turns.ts';

/** What an executor needs. */
export interface ExecutorOptions {
  /** The id of the node; it keeps only its own slices of channels. */
  readonly node: string;
  /** The blob store's folder. */
  readonly folder: string;
  /** Threads of one inference run. */
  readonly threads: number;
  /** Megabytes (10^6) that all sessions together may use, estimated from their weights. */
  readonly sessionMemoryMb: number;
  /**
   * Parts wait while the worker is restarted, instead of failing: for central, which cannot send them to another node.
   */
  readonly patient?: boolean;
  /** Settings of tuned models, by their skeleton. */
  readonly settings?: ReadonlyMap<string, RuntimeSettings>;
  readonly log: Log;
}

/** Milliseconds before a worker that ended is restarted: none the first time, then longer and longer. */
const RESTART_MS = [0, 200, 1000, 5000] as const;
/** After a worker has run this long, its end counts as the first one again. */
const HEALTHY_MS = 60_000;
/** How many times a plan is loaded if the worker ends while loading it. */
const LOAD_TRIES = 2;
/** How long `stop` waits for the run in progress. */
const STOP_MS = 5000;

interface Asked {
  readonly plan: Plan;
  readonly stages: Iterable<number>;
  readonly skeletonSha: string;
  readonly slices: ModelManifest['slices'];
}

interface Prepared extends PreparedPlan, Pick<Asked, 'skeletonSha' | 'slices'> {}

const NONE: ReadonlySet<number> = new Set();

/** A `prepare` in progress. */
interface Preparation {
  readonly plan: string;
  released: boolean;
}

/**
 * Starts a worker thread that runs stages. The calling thread only passes buffers on: decoding, inference and encoding
 * happen in the worker. Throws TESSERA_INTERNAL where the worker was not compiled.
 */
export async function createExecutor(options: ExecutorOptions): Promise<Executor> {
  return new ThreadExecutor(options);
}

/**
 * worker: running --ends by itself--> down --after RESTART_MS--> restoring --plans prepared again--> running
 *   any --stop--> stopped
 *
 * 1. Every part given to `run` has exactly one outcome, also when the worker ends: then `run-failed`.
 * 2. While the worker is not running, parts fail at once, so that central can send them to another node; a patient
 *    executor keeps them until the worker runs again.
 * 3. A prepared plan is prepared again after a restart, before any part runs; a plan for which that fails no
 *    longer counts as prepared.
 * 4. Calls for one plan run in the order in which they were made. A release ends the `prepare` before it, which then
 *    throws. A plan that is released while the worker is down is not prepared again.
 * 5. The thread is never ended from outside while ONNX Runtime runs: that aborts the whole process (onnxruntime-node
 *    1.30 throws a C++ exception that is not caught). It is asked to stop, and left alone if it does not answer.
 * 6. Kept regions lie in the worker and end with it; then `onLoss` is called, before anything else can be kept.
 */
class ThreadExecutor implements Executor {
  readonly #options: ExecutorOptions;
  readonly #prepared = new Map<string, Prepared>();
  readonly #settings: Map<string, RuntimeSettings>;
  readonly #preparations = new Set<Preparation>();
  /** By plan. */
  readonly #turns = new Turns();
  #worker: Worker | undefined;
  #calls: WorkerCalls | undefined;
  #down: string | undefined;
  #stopped = false;
  #startedAt = 0;
  #ends = 0;
  #restart: NodeJS.Timeout | undefined;
  #lost: (() => void)[] = [];
  /** Callers that wait for the next worker. */
  #wake: (() => void)[] = [];

  constructor(options: ExecutorOptions) {
    this.#options = options;
    this.#settings = new Map(options.settings);
    this.#calls = this.#startWorker();
  }

  plans(): readonly string[] {
    return [...this.#prepared.keys()];
  }

  prepared(plan: string): Pick<ReadonlySet<number>, 'has' | 'size'> {
    return this.#prepared.get(plan)?.stages ?? NONE;
  }

  preparedPlan(plan: string): PreparedPlan | undefined {
    return this.#prepared.get(plan);
  }

  async weights(
    plan: Plan,
    stages: readonly number[],
    skeletonSha: string,
    slices?: ModelManifest['slices'],
  ): Promise<string[]> {
    const found = new Set<string>();
    await this.#withWorker(async (calls) => {
      for (const stage of stages)
        for (const sha of await calls.call<string[]>('weights', { plan, stages: [stage], skeletonSha, slices }))
          found.add(sha);
    });
    return [...found];
  }

  async prepare(
    plan: Plan,
    stages: readonly number[],
    skeletonSha: string,
    slices?: ModelManifest['slices'],
  ): Promise<void> {
    const preparation: Preparation = { plan: plan.id, released: false };
    this.#preparations.add(preparation);
    try {
      await this.#turns.take(plan.id, () => this.#prepare(preparation, { plan, stages, skeletonSha, slices }));
    } finally {
      this.#preparations.delete(preparation);
    }
  }

  async #prepare(preparation: Preparation, asked: Asked): Promise<void> {
    const { plan, skeletonSha, slices } = asked;
    let loaded = new Map<number, StageRegions>();
    try {
      await this.#withWorker(async (calls) => {
        loaded = await this.#load(calls, asked, () => preparation.released);
      });
      if (preparation.released) throw released(plan.id);
    } catch (error) {
      if (!this.#prepared.has(plan.id)) await this.#calls?.call('release', { plan: plan.id }).catch(() => {});
      throw error;
    }
    const stages = new Map([...(this.#prepared.get(plan.id)?.stages ?? []), ...loaded]);
    this.#prepared.set(plan.id, { plan, stages, skeletonSha, slices });
  }

  async run(job: Job, onPart: (outcome: PartOutcome) => void): Promise<void> {
    const open = job.tiles.map(({ t_id }) => t_id);
    const onParts = (outcomes: readonly PartOutcome[]): void => {
      for (const outcome of outcomes) {
        open.splice(open.indexOf(outcome.t_id), 1);
        onPart(outcome);
      }
    };
    try {
      await this.#run(job, onParts);
    } catch (error) {
      const text = failureOf(error).message;
      for (const t_id of open.splice(0)) onPart({ t_id, error: { code: 'run-failed', text } });
    }
  }

  async #run(job: Job, onParts: (outcomes: readonly PartOutcome[]) => void): Promise<void> {
    const bytes: Uint8Array[] = [];
    const own = (input: WorkInput): WorkInput => {
      if (!('d' in input)) return input;
      const d = ownBytes(input.d);
      bytes.push(d);
      return d === input.d ? input : { ...input, d };
    };
    const tiles = job.tiles.map(({ t_id, in: inputs, out }) => ({ t_id, in: inputs.map(own), out }));
    if (this.#options.patient === true && this.#down !== undefined && !this.#stopped)
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    if (this.#down !== undefined || this.#calls === undefined) {
      // A caller that retries at once must not keep the event loop from starting the worker.
      await setImmediate();
      throw new TesseraError('TESSERA_RUN_FAILED', this.#down ?? 'the executor is stopped');
    }
    onParts(await this.#running().call<PartOutcome[]>('run', { ...job, tiles }, buffersOf(bytes), onParts));
  }

  async measure(plan: string, stage: number, options: MeasureOptions): Promise<MeasuredStage> {
    return this.#running().call('measure', { plan, stage, ...options });
  }

  async tune(plan: string, stage: number, skeleton: string, options: MeasureOptions): Promise<Tuned | undefined> {
    const calls = this.#running();
    const tuned = await fastestSettings(this.#options.threads, async (settings) => {
      try {
        const { ms } = await calls.call<MeasuredStage>('measure', { plan, stage, ...options, settings });
        return [...ms].sort((a, b) => a - b)[Math.floor(ms.length / 2)]!;
      } catch (error) {
        // Settings that the runtime refuses for this network are passed over.
        if (this.#calls !== calls) throw error;
        return undefined;
      }
    });
    if (tuned === undefined) return undefined;
    this.#settings.set(skeleton, tuned.settings);
    await calls.call('use', { skeleton, settings: tuned.settings });
    return tuned;
  }

  async answers(): Promise<void> {
    await this.#calls?.call('answer', undefined).catch(() => {});
  }

  cancel(iId: string, stage: number, tIds: readonly number[]): void {
    this.#calls?.call('cancel', { iId, stage, tIds }).catch(() => {});
  }

  keep(iId: string, from: string | undefined, regions: readonly WireRegion[]): boolean {
    if (this.#calls === undefined) return false;
    this.#calls.call('keep', { iId, from, regions }, buffersOf(regions.map(({ d }) => d))).catch(() => {});
    return true;
  }

  async take(
    iId: string,
    regions: readonly AskedRegion[],
  ): Promise<readonly WireRegion[] | { readonly missing: readonly RegionPlace[] }> {
    return this.#running().call('take', { iId, regions });
  }

  free(iIds: readonly string[]): void {
    this.#calls?.call('free', iIds).catch(() => {});
  }

  onLoss(listener: () => void): void {
    this.#lost.push(listener);
  }

  async release(plan: string): Promise<void> {
    this.#prepared.delete(plan);
    for (const preparation of this.#preparations) if (preparation.plan === plan) preparation.released = true;
    // If the worker ends meanwhile, the plan is gone with it.
    await this.#turns.take(plan, async () => this.#calls?.call('release', { plan }).catch(() => {}));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    const calls = this.#calls;
    this.#calls = undefined;
    this.#wakeAll();
    if (calls === undefined) return;
    let late: NodeJS.Timeout | undefined;
    const timeout = new Promise<boolean>((resolve) => {
      late = setTimeout(() => resolve(false), STOP_MS);
    });
    const idle = calls.call('stop', {}).then(
      () => true,
      () => true,
    );
    if (await Promise.race([idle, timeout])) await calls.end();
    else this.#worker?.unref();
    clearTimeout(late);
  }

  /** Calls a function with a running worker; if the worker ends meanwhile, once more with the next one. */
  async #withWorker(action: (calls: WorkerCalls) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      while (this.#down !== undefined && !this.#stopped) await new Promise<void>((resolve) => this.#wake.push(resolve));
      const calls = this.#running();
      try {
        await action(calls);
        return;
      } catch (error) {
        if (this.#calls === calls || this.#stopped || attempt === LOAD_TRIES) throw error;
      }
    }
  }

  /**
   * Stage by stage, so that parts of other plans run in between: a new plan is prepared while frames are being
   * answered.
   */
  async #load(
    calls: WorkerCalls,
    { plan, stages, skeletonSha, slices }: Asked,
    isReleased: () => boolean,
  ): Promise<Map<number, StageRegions>> {
    const regions = new Map<number, StageRegions>();
    for (const stage of stages) {
      if (isReleased()) throw released(plan.id);
      const args = { plan, stages: [stage], skeletonSha, slices };
      for (const [id, of] of await calls.call<Map<number, StageRegions>>('prepare', args)) regions.set(id, of);
    }
    return regions;
  }

  #running(): WorkerCalls {
    if (this.#calls !== undefined) return this.#calls;
    throw new TesseraError('TESSERA_RUN_FAILED', this.#down ?? 'the executor is stopped');
  }

  #startWorker(): WorkerCalls {
    const { node, folder, threads, sessionMemoryMb } = this.#options;
    this.#startedAt = performance.now();
    const worker = new Worker(workerEntry(import.meta.url, './executor-worker.ts'), {
      workerData: { node, folder, threads, sessionMemoryMb, settings: this.#settings } satisfies ExecutorWorkerData,
      // Flags of this process (a test runner's loader, for example) are not for the worker.
      execArgv: [],
    });
    this.#worker = worker;
    return new WorkerCalls(worker, (error) => this.#onEnd(error));
  }

  #onEnd(error: TesseraError): void {
    this.#calls = undefined;
    if (this.#stopped) return;
    if (performance.now() - this.#startedAt > HEALTHY_MS) this.#ends = 0;
    const delayMs = RESTART_MS[Math.min(this.#ends++, RESTART_MS.length - 1)]!;
    this.#down = `${error.message}; it is being restarted`;
    for (const listener of this.#lost) listener();
    this.#options.log.error('the inference thread ended and is restarted', { reason: error.message, delayMs });
    this.#restart = setTimeout(() => void this.#restore(), delayMs);
  }

  async #restore(): Promise<void> {
    const calls = this.#startWorker();
    this.#calls = calls;
    for (const prepared of [...this.#prepared.values()]) {
      const isGone = (): boolean => this.#prepared.get(prepared.plan.id) !== prepared;
      try {
        await this.#load(calls, { ...prepared, stages: prepared.stages.keys() }, isGone);
      } catch (error) {
        if (!isGone()) this.#lose(prepared.plan.id, error);
      }
      if (isGone()) await calls.call('release', { plan: prepared.plan.id }).catch(() => {});
      if (this.#calls !== calls) return;
    }
    this.#down = undefined;
    this.#wakeAll();
  }

  /** Its parts will be answered with `unknown-plan`, after which central has the plan prepared again. */
  #lose(plan: string, error: unknown): void {
    this.#prepared.delete(plan);
    const { message } = failureOf(error);
    this.#options.log.error(`a plan could not be prepared again: ${message}`, { plan });
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

function released(plan: string): TesseraError {
  return new TesseraError('TESSERA_PLAN_INVALID', `plan ${plan} was released while it was prepared`);
}
