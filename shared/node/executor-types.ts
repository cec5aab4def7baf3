import type { CodecSpec } from '../codec/spec.ts';
import type { Plan } from '../plan/plan.ts';
import type { ModelManifest } from '../protocol/messages/control.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import type { WorkError } from '../protocol/messages/work.ts';
import type { Box } from '../tensor/tensor.ts';

/** Parts of one stage to run: as `work` on the wire, without its addressing. */
export interface Job {
  readonly plan: string;
  /** The frame; with `stage` and `t_id` it identifies a part for `cancel`. */
  readonly i_id: string;
  readonly stage: number;
  readonly tiles: readonly {
    readonly t_id: number;
    readonly in: readonly WireRegion[];
    readonly out: readonly { readonly tensor: string; readonly box: Box; readonly codec: CodecSpec }[];
  }[];
}

/** The outcome of one part. `compute_ms` is decoding, inference and encoding. */
export type PartOutcome =
  | { readonly t_id: number; readonly out: readonly WireRegion[]; readonly compute_ms: number }
  | { readonly t_id: number; readonly error: { readonly code: WorkError; readonly text: string } };

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
  prepared(plan: string): ReadonlySet<number>;
  /** Loads what the stages of a plan need; resolves when their jobs can run. Throws TesseraError. */
  prepare(plan: Plan, stages: readonly number[], skeletonSha: string, slices?: ModelManifest['slices']): Promise<void>;
  /**
   * Runs parts one after another; `onPart` is called when each is done. Buffers of `job` are transferred: do not use
   * them again. Never throws because of a part's fault.
   */
  run(job: Job, onPart: (outcome: PartOutcome) => void): Promise<void>;
  /** Drops a frame's queued parts that have not started: each ends with the error `expired`. */
  cancel(iId: string, stage: number, tIds: readonly number[]): void;
  release(plan: string): Promise<void>;
  stop(): Promise<void>;
}
