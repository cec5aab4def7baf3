import type { CodecSpec } from '../codec/spec.ts';
import type { Plan } from '../plan/plan.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import type { RegionPlace, WireRegion } from '../protocol/messages/region.ts';
import type { WorkError, WorkInput } from '../protocol/messages/work.ts';
import type { Box, Dtype } from '../tensor/tensor.ts';
import type { PartForm } from '../tiling/form.ts';
import type { AskedRegion } from './region-store.ts';
import type { Tuned } from './runtime-settings.ts';

/** Parts of one stage to run: as `work` on the wire, without its addressing. */
export interface Job {
  readonly plan: string;
  /** The frame; with `stage` and `t_id` it identifies a part for `cancel`. */
  readonly i_id: string;
  readonly stage: number;
  /** Outcomes are handed over together up to this size, bytes, unless a part failed or regions of it are kept. */
  readonly batchBytes: number;
  readonly tiles: readonly {
    readonly t_id: number;
    readonly in: readonly WorkInput[];
    readonly out: readonly {
      readonly tensor: string;
      readonly box: Box;
      readonly codec: CodecSpec;
      /** The executor keeps it for later parts: `only` keeps it and does not return it. */
      readonly keep?: 'also' | 'only';
    }[];
  }[];
}

/**
 * The outcome of one part: those outputs that are not only kept, in the order of the job. `compute_ms` is decoding,
 * inference and encoding; `waited_ms` how long ago it ended, as it is handed over together with later ones.
 */
export type PartOutcome =
  | {
      readonly t_id: number;
      readonly out: readonly WireRegion[];
      readonly compute_ms: number;
      readonly waited_ms?: number;
    }
  | { readonly t_id: number; readonly error: PartError };

/** Why a part was not computed; `regions` are the inputs that are not here. */
export interface PartError {
  readonly code: WorkError;
  readonly text: string;
  readonly regions?: RegionPlace[];
}

/** What the parts of a stage read and make, by t_id, and how their tensors are kept. */
export interface StageRegions {
  readonly parts: ReadonlyMap<number, Pick<PartForm, 'in' | 'out'>>;
  /** Type of the values; as codes they take one byte each. Outputs of unknown shape are left out. */
  readonly tensors: ReadonlyMap<string, { readonly dtype: Dtype; readonly areCodes: boolean }>;
}

/** A plan with prepared stages. */
export interface PreparedPlan {
  readonly plan: Plan;
  readonly stages: ReadonlyMap<number, StageRegions>;
}

/**
 * How a stage is measured: `repeats` runs after `warmup` unmeasured ones; more until 50 ms are over, and at most three
 * once `budgetMs` are over.
 */
export interface MeasureOptions {
  readonly warmup: number;
  readonly repeats: number;
  readonly budgetMs: number;
}

/** Times of the runs of a stage, ms, and how many parts of frames were computed meanwhile. */
export interface MeasuredStage {
  readonly ms: readonly number[];
  readonly others: number;
}

/** Runs stages of plans in a worker thread; the same for node agents and for central's own executor. */
export interface Executor {
  /**
   * SHA-256 of the weights, and slices of weights, that stages of a plan read. Only the model's skeleton has to be here;
   * weights of other stages are not needed. Throws TesseraError.
   */
  weights(
    plan: Plan,
    stages: readonly number[],
    skeletonSha: string,
    slices?: ModelManifest['slices'],
  ): Promise<string[]>;
  /** Ids of the plans with prepared stages, the oldest first. */
  plans(): readonly string[];
  /** The stages of a plan for which jobs can run; empty for none. */
  prepared(plan: string): Pick<ReadonlySet<number>, 'has' | 'size'>;
  /** A plan with prepared stages; undefined where there are none. */
  preparedPlan(plan: string): PreparedPlan | undefined;
  /** Loads what the stages of a plan need; resolves when their jobs can run. Throws TesseraError. */
  prepare(plan: Plan, stages: readonly number[], skeletonSha: string, slices?: ModelManifest['slices']): Promise<void>;
  /**
   * Runs parts one after another; `onPart` is called once for each, in the order in which they end. Buffers of `job` are
   * transferred: do not use them again. Never throws because of a part's fault.
   */
  run(job: Job, onPart: (outcome: PartOutcome) => void): Promise<void>;
  /**
   * Runs the first part of a prepared stage on made-up inputs; parts of frames are computed between the runs. A time is
   * that of the runtime alone, without decoding and encoding. Throws TESSERA_RUN_FAILED, TESSERA_INTERNAL.
   */
  measure(plan: string, stage: number, options: MeasureOptions): Promise<MeasuredStage>;
  /**
   * Searches the fastest settings of the runtime for a prepared stage, and runs its model with them from now on. Undefined
   * where it does not even run with the usual ones. Throws TESSERA_RUN_FAILED, TESSERA_INTERNAL.
   */
  tune(plan: string, stage: number, skeletonSha: string, options: MeasureOptions): Promise<Tuned | undefined>;
  /** Drops a frame's queued parts that have not started: each ends with the error `expired`. */
  cancel(iId: string, stage: number, tIds: readonly number[]): void;
  /**
   * Keeps regions that a node sent or, without a node, that were opened here, until `free`; buffers are transferred. False
   * where that is not possible now.
   */
  keep(iId: string, from: string | undefined, regions: readonly WireRegion[]): boolean;
  /** Encodes kept regions, or says which are not here. Throws TesseraError. */
  take(
    iId: string,
    regions: readonly AskedRegion[],
  ): Promise<readonly WireRegion[] | { readonly missing: readonly RegionPlace[] }>;
  /** Drops all that is kept of these frames. */
  free(iIds: readonly string[]): void;
  /** `listener` is called when all kept regions were lost. */
  onLoss(listener: () => void): void;
  release(plan: string): Promise<void>;
  /** Resolves when the worker thread answers: not while it is stuck; at once while there is none. Never throws. */
  answers(): Promise<void>;
  stop(): Promise<void>;
}
