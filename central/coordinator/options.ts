import type { Tier } from '../../shared/plan/plan.ts';

/** How a camera's frames are treated. */
export interface CameraPolicy {
  /** `newest`: one waiting frame, a newer one takes its place; `every`: all of them, up to `queue_max`. */
  readonly keep: 'newest' | 'every';
  /** Waiting frames of this camera for one model, for `every`. */
  readonly queue_max: number;
  /** At most so many frames per second are considered; 0 is no limit. */
  readonly max_fps: number;
  /** `wait`: up to the hard limit; `fill`: tiles missing `deadline_ms` after their stage began are zeros (T_L). */
  readonly deadline: 'wait' | 'fill';
  readonly deadline_ms: number;
}

/** Bounds and times of the coordinator; `defaultOptions` has a value for all but `epoch`. */
export interface CoordinatorOptions {
  /** First half of every i_id: the term of this central, which rises with each leader election. */
  readonly epoch: number;
  /** Central's own tier; null: no stage that is placed on a tier runs at central, except by its `fallback`. */
  readonly tier: Tier | null;
  /** For cameras without a `camera-config`, and for fields that a `camera-config` does not set. */
  readonly camera: CameraPolicy;

  /** Accepted frames that have not ended: in total, and per model at most, however many nodes it has. */
  readonly max_open: number;
  readonly max_open_per_model: number;
  /** Of them, those whose sections are frames of their own; central keeps the picture of each. */
  readonly max_sectioned: number;
  /** Bytes of open frames' tensors; a single frame larger than this still runs, alone. */
  readonly max_open_bytes: number;
  /** Bytes of payloads that wait to be accepted or decoded; what exceeds them is skipped as `buffers-full`. */
  readonly max_payload_bytes: number;
  /** A frame ends with TESSERA_DEADLINE this long after it was accepted, whatever the policy. */
  readonly hard_limit_ms: number;

  /** Credit per node: bytes of unanswered work, and of its results; one message is sent whatever its size. */
  readonly window_bytes: number;
  /** Credit of all nodes together: bytes of results that they owe central; one part is requested whatever its size. */
  readonly owed_bytes: number;
  /** Requests of one part that may end with an error, a time-out or a lost node before no other node agent gets it. */
  readonly max_tries: number;
  /** Share (0..1) of nodes' parts that another node computes too, to compare; 0 is none. */
  readonly audit_share: number;
  /** Seed of the random numbers that choose these parts; secret, or nodes could predict the choice. */
  readonly audit_seed: number;
  /** Weight of the newest observation in a node's speed (ADCNN Algorithm 2). */
  readonly gamma: number;
  /** A live node that got no work for this long, because it was slow, gets a copy of one part to measure it. */
  readonly probe_ms: number;
  /** Hedging delay of a node whose speed is not known. */
  readonly unknown_ms: number;
  /** Shortest hedging delay. */
  readonly hedge_floor_ms: number;
  /** Work without an answer is given up after four times the hedging delay, and not before this. */
  readonly answer_floor_ms: number;
  /** Regions that a node was to send to central, and that did not come so long, are made again. */
  readonly fetch_ms: number;

  /** Interval of heartbeats; after three missed ones a node is suspect. */
  readonly heartbeat_ms: number;
  /** A new plan waits this long for further nodes while some are ready. */
  readonly settle_ms: number;
  /** A new plan waits this long for nodes that prepare it before central computes in their place. */
  readonly patience_ms: number;
  /** `prepare` is repeated after this long without an answer. */
  readonly prepare_again_ms: number;
  /** How long a frame id is remembered for `dedupe`. */
  readonly dedupe_ms: number;
  /** The same for a frame that the broker redelivers: a slow broker reads central's acknowledgement late. */
  readonly redelivery_ms: number;
}

/** Defaults. */
export const defaultOptions: Omit<CoordinatorOptions, 'epoch'> = {
  tier: null,
  camera: { keep: 'newest', queue_max: 1024, max_fps: 0, deadline: 'wait', deadline_ms: 500 },
  max_open: 256,
  max_open_per_model: 128,
  max_sectioned: 32,
  max_open_bytes: 512e6,
  max_payload_bytes: 256e6,
  hard_limit_ms: 60_000,
  window_bytes: 4e6,
  // Below the built-in broker's cap for a slow reader (16 MiB), so a central behind a slow link loses no result.
  owed_bytes: 12e6,
  max_tries: 4,
  audit_share: 0.01,
  audit_seed: 1,
  gamma: 0.3,
  probe_ms: 2_000,
  unknown_ms: 5_000,
  hedge_floor_ms: 50,
  answer_floor_ms: 1_000,
  fetch_ms: 5_000,
  heartbeat_ms: 1_000,
  settle_ms: 3_000,
  patience_ms: 20_000,
  prepare_again_ms: 30_000,
  dedupe_ms: 60_000,
  redelivery_ms: 600_000,
};
