/** A region on its way from one machine to another. */
export interface PredictedHop {
  readonly from: string;
  readonly to: string;
  /** The tensor; ` + ` joins the names of several tensors of the frame. */
  readonly tensor: string;
  /** As sent, after the codec. */
  readonly bytes: number;
  readonly start_ms: number;
  readonly end_ms: number;
}

/** When a part is computed, and where. */
export interface PredictedPart {
  readonly t_id: number;
  readonly node: string;
  readonly start_ms: number;
  readonly end_ms: number;
}

/** What a machine does for each frame, on average over many. */
export interface PredictedMachine {
  readonly id: string;
  /** Computing, and processor time for messages. */
  readonly busy_ms: number;
  /** Weights and tensors of the parts that run there; weights count only where the network's file was read. */
  readonly memory_bytes: number;
  /** Bytes that it sends. */
  readonly upload_bytes: number;
  /** Joules for one frame while no other is under way; null where its power is not known. */
  readonly energy_j: number | null;
}

/** What a plan's frames cost. Times are of a frame that is alone, which arrives at 0 ms. */
export interface Prediction {
  readonly latency_ms: number;
  /** Least time between two frames that arrive without end: that of the busiest machine or link. */
  readonly period_ms: number;
  /** Bytes between machines; a region counts once for each machine that it is sent to. */
  readonly transferred_bytes: number;
  readonly hops: readonly PredictedHop[];
  readonly stages: readonly { readonly id: number; readonly parts: readonly PredictedPart[] }[];
  readonly machines: readonly PredictedMachine[];
  /** Share (0..1) of the whole network's answers that stay the same; null where it was not measured. */
  readonly agreement: number | null;
  /** Share (0..1) of frames later than the deadline; null without a deadline, and where no spread was measured. */
  readonly late_share: number | null;
  /** Error (share) of the times that were not measured as such; null where it is not known. */
  readonly error: number | null;
}
