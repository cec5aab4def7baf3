/** How a camera's frames are treated. */
export interface CameraPolicy {
  /** `newest`: one waiting frame, a newer one takes its place; `every`: all of them, up to `queue_max`. */
  readonly keep: 'newest' | 'every';
  /** Waiting frames of this camera for one model, for `every`. */
  readonly queue_max: number;
  /** At most so many frames per second are considered; 0 is no limit. */
  readonly max_fps: number;
  /** `wait`: up to the hard limit; `fill`: parts missing `deadline_ms` after their stage began are zeros (ADCNN's T_L). */
  readonly deadline: 'wait' | 'fill';
  readonly deadline_ms: number;
}

/** Bounds and times of the coordinator; `defaultOptions` has a value for all but `epoch`. */
export interface CoordinatorOptions {
  /** First half of every i_id; rises with each start of central. */
  readonly epoch: number;
  /** For cameras without a `camera-config`, and for what a `camera-config` leaves out. */
  readonly camera: CameraPolicy;

  /** Accepted frames that have not ended: in total, and per model. */
  readonly max_open: number;
  readonly max_open_per_model: number;
  /** Bytes of open frames' tensors; a single frame larger than this still runs, alone. */
  readonly max_open_bytes: number;
  /** Bytes of payloads that wait to be accepted or decoded; what exceeds them is skipped as `buffers-full`. */
  readonly max_payload_bytes: number;
  /** A frame ends with TESSERA_DEADLINE this long after it was accepted, whatever the policy. */
  readonly hard_limit_ms: number;

  /** Credit per node: bytes of unanswered work, and of the results for it; one message goes out whatever its size. */
  readonly window_bytes: number;
  /** Credit of all nodes together: bytes of results that they owe central; one part is asked for whatever its size. */
  readonly owed_bytes: number;
  /** How often a part is asked for again after errors, time-outs and lost nodes before central computes it itself. */
  readonly max_tries: number;
  /** Share (0..1) of nodes' parts that somebody else computes again, to compare; 0 is none. */
  readonly audit_share: number;
  /** Chooses those parts; nodes must not know it. */
  readonly audit_seed: number;
  /** Weight of the newest observation in a node's speed (ADCNN Algorithm 2). */
  readonly gamma: number;
  /** A live node that was given nothing for so long because it was slow gets a copy of one part, so that its speed stays known. */
  readonly probe_ms: number;
  /** Prediction for a node of which nothing is known. */
  readonly unknown_ms: number;
  /** No second request before this, however short the prediction. */
  readonly hedge_floor_ms: number;
  /** Work unanswered for four times the hedging delay, and at least this, is given up and counts as slowness. */
  readonly answer_floor_ms: number;

  /** Interval of heartbeats; after three missed ones a node is suspect. */
  readonly heartbeat_ms: number;
  /** A new plan waits so long for nodes that are not ready yet while some are. */
  readonly settle_ms: number;
  /** A new plan waits so long for nodes that prepare it before central computes in their place. */
  readonly patience_ms: number;
  /** `prepare` is repeated to a node that has not answered it. */
  readonly prepare_again_ms: number;
  /** A frame id is remembered so long for `dedupe`. */
  readonly dedupe_ms: number;
}

/** What stands where nothing else is said. */
export const defaultOptions: Omit<CoordinatorOptions, 'epoch'> = {
  camera: { keep: 'newest', queue_max: 1024, max_fps: 0, deadline: 'wait', deadline_ms: 500 },
  max_open: 16,
  max_open_per_model: 3,
  max_open_bytes: 512e6,
  max_payload_bytes: 256e6,
  hard_limit_ms: 60_000,
  window_bytes: 4e6,
  // Below what the built-in broker keeps for a slow reader (16 MiB): a central behind a slow link loses no result.
  owed_bytes: 12e6,
  max_tries: 4,
  audit_share: 0.01,
  audit_seed: 1,
  gamma: 0.3,
  probe_ms: 2_000,
  unknown_ms: 5_000,
  hedge_floor_ms: 50,
  answer_floor_ms: 1_000,
  heartbeat_ms: 1_000,
  settle_ms: 3_000,
  patience_ms: 20_000,
  prepare_again_ms: 30_000,
  dedupe_ms: 60_000,
};
