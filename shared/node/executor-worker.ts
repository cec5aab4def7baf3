import { setImmediate } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { TesseraError } from '../errors.ts';
import { MAX_REPEATS } from '../plan/limits.ts';
import type { Plan } from '../plan/plan.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import { openBlobStore } from '../runtime/blob-store.ts';
import { answerCalls, buffersOf, type Moved, type SendPart } from '../runtime/worker-call.ts';
import type { Job, MeasuredStage, MeasureOptions, PartOutcome } from './executor-types.ts';
import { type AskedRegion, RegionStore } from './region-store.ts';
import type { RuntimeSettings } from './runtime-settings.ts';
import { StageRunner } from './stage-runner.ts';

/** The data that the executor passes to its worker thread at start. */
export interface ExecutorWorkerData {
  readonly node: string;
  readonly folder: string;
  readonly threads: number;
  readonly sessionMemoryMb: number;
  /** Of tuned models, by their skeleton. */
  readonly settings: ReadonlyMap<string, RuntimeSettings>;
}

/** A stage to measure; absent settings are those of its model. */
export interface MeasureCall extends MeasureOptions {
  readonly plan: string;
  readonly stage: number;
  readonly settings?: RuntimeSettings;
}

/** Stages to prepare, with the slices of weights that the manifest names. */
interface PrepareCall {
  readonly plan: Plan;
  readonly stages: readonly number[];
  readonly skeletonSha: string;
  readonly slices: ModelManifest['slices'];
}

/** Runs of a stage that are measured however long they take. */
const LEAST_RUNS = 3;
/** A stage is measured at least so long: a few short runs may all fall into a moment in which the machine was busy. */
const LEAST_MS = 50;

/** Why calls fail once the executor is stopping. */
const STOPPING = 'the executor is stopping';

interface QueuedCall {
  readonly run: () => Promise<void>;
  /** Where it is a part of a frame. */
  readonly part?: QueuedPart;
}

/** A part of a job. */
interface QueuedPart {
  readonly job: Job;
  readonly t_id: number;
  readonly end: (outcome: PartOutcome) => void;
}

/**
 * All calls run one after another, in the order of arrival; only `cancel` goes first and removes queued parts. What takes
 * long (`prepare`, `measure`) takes a turn for each of its steps.
 */
const waiting: QueuedCall[] = [];
let busy = false;
/** Nothing begins any more: the thread is ended as soon as `stop` is answered, which must not happen during a run. */
let stopping = false;

async function work(): Promise<void> {
  if (busy) return;
  busy = true;
  for (;;) {
    // Messages that arrived during the last run are read first: one of them may cancel the next part.
    await setImmediate();
    const next = waiting.shift();
    if (next === undefined) break;
    await next.run();
  }
  busy = false;
}

function inTurn<T>(action: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    waiting.push({
      run: async () => {
        try {
          if (stopping) throw new TesseraError('TESSERA_RUN_FAILED', STOPPING);
          resolve(await action());
        } catch (error) {
          reject(error);
        }
      },
    });
    void work();
  });
}

/** Removes cancelled parts from the queue and answers them. */
function drop(matches: (part: QueuedPart) => boolean): void {
  const gone = waiting.filter(({ part }) => part !== undefined && matches(part));
  const kept = waiting.filter((entry) => !gone.includes(entry));
  waiting.splice(0, waiting.length, ...kept);
  for (const { part } of gone) part!.end({ t_id: part!.t_id, error: { code: 'expired', text: 'cancelled' } });
}

const { node, folder, threads, sessionMemoryMb, settings } = workerData as ExecutorWorkerData;
const kept = new RegionStore();
/** Parts of frames that were given to the runner so far. */
let partsRun = 0;
const runner = openBlobStore(folder).then(
  (store) => new StageRunner({ node, store, threads, sessionMemoryMb, settings }),
);

/** The functions that the executor calls in its worker thread. */
const handlers = {
  weights: (args: PrepareCall) =>
    inTurn(async () => (await runner).weights(args.plan, args.stages, args.skeletonSha, args.slices)),

  prepare: async (args: PrepareCall) =>
    (await runner).prepare(args.plan, args.stages, args.skeletonSha, args.slices, inTurn),

  use: (args: { skeleton: string; settings: RuntimeSettings }) =>
    inTurn(async () => (await runner).use(args.skeleton, args.settings)),

  measure: async (args: MeasureCall): Promise<MeasuredStage> => {
    const { plan, stage, warmup, repeats, budgetMs } = args;
    const run = await inTurn(async () => (await runner).measuredRun(plan, stage, args.settings));
    for (let i = 0; i < warmup; i++) await inTurn(run);
    const before = partsRun;
    const began = performance.now();
    const ms: number[] = [];
    const isEnough = (): boolean => {
      const took = performance.now() - began;
      if (ms.length >= repeats && took >= LEAST_MS) return true;
      return ms.length >= MAX_REPEATS || (ms.length >= LEAST_RUNS && took >= budgetMs);
    };
    while (!isEnough()) ms.push(await inTurn(run));
    return { ms, others: partsRun - before };
  },

  release: (args: { plan: string }) => inTurn(async () => (await runner).release(args.plan)),

  run: (job: Job, sendPart: SendPart<PartOutcome[]>): Promise<Moved<PartOutcome[]>> =>
    new Promise((resolve) => {
      let batch: PartOutcome[] = [];
      let ends: number[] = [];
      let bytes = 0;
      let open = job.tiles.length;
      const end = (outcome: PartOutcome, isKept: boolean): void => {
        const now = performance.now();
        batch.push(outcome);
        ends.push(now);
        if ('out' in outcome) for (const { d } of outcome.out) bytes += d.byteLength;
        open -= 1;
        if (open > 0 && !isKept && 'out' in outcome && bytes < job.batchBytes) return;
        const made = batch.flatMap((each) => ('out' in each ? each.out.map(({ d }) => d) : []));
        const value = batch.map((each, k) => ('out' in each ? { ...each, waited_ms: now - ends[k]! } : each));
        const moved = { value, transfer: buffersOf(made) };
        if (open === 0) resolve(moved);
        else sendPart(moved);
        batch = [];
        ends = [];
        bytes = 0;
      };
      for (const tile of job.tiles) {
        const { t_id } = tile;
        const isKept = tile.out.some(({ keep }) => keep !== undefined);
        waiting.push({
          part: { job, t_id, end: (outcome) => end(outcome, isKept) },
          run: async () => {
            if (stopping) return end({ t_id, error: { code: 'run-failed', text: STOPPING } }, isKept);
            partsRun += 1;
            end(await (await runner).runPart(job.plan, job.stage, tile, kept.of(job.i_id)), isKept);
          },
        });
      }
      if (open === 0) resolve({ value: [], transfer: [] });
      void work();
    }),

  cancel: (args: { iId: string; stage: number; tIds: readonly number[] }): void => {
    const { iId, stage, tIds } = args;
    drop(({ job, t_id }) => job.i_id === iId && job.stage === stage && tIds.includes(t_id));
  },

  keep: ({ iId, from, regions }: { iId: string; from: string | undefined; regions: readonly WireRegion[] }): void =>
    kept.keep(iId, from, regions),

  take: ({
    iId,
    regions,
  }: {
    iId: string;
    regions: readonly AskedRegion[];
  }): Moved<ReturnType<RegionStore['take']>> => {
    const value = kept.take(iId, regions);
    return { value, transfer: 'missing' in value ? [] : buffersOf(value.map((region) => region.d)) };
  },

  answer: (): void => {},

  free: (iIds: readonly string[]): void => kept.free(iIds),

  /** Answered when no run is in progress, so that the thread can be ended. */
  stop: (): Promise<void> => {
    stopping = true;
    return new Promise((resolve, reject) => {
      waiting.push({ run: () => runner.then((each) => each.stop()).then(resolve, reject) });
      void work();
    });
  },
};

if (parentPort !== null) answerCalls(parentPort, handlers);
