import { z } from '../../schema.ts';
import { count, text } from './fields.ts';
import { SKIP_REASONS } from './result.ts';

/** States of a central: `lost` is its last will, `ended` its clean stop. */
export const CENTRAL_STATES = ['standby', 'claiming', 'active', 'ended', 'lost'] as const;

/** `tessera/central/<id>/status` and `.../heartbeat`: state of a central in leader election; one is active per base. */
export const centralStatus = z.object({
  v: z.literal(1),
  id: text,
  boot_id: text,
  state: z.enum(CENTRAL_STATES),
  /** Epoch (term) of its last claim; rises with every new active central. */
  epoch: count,
  /** Number of its messages in this run. */
  seq: count,
});
/** State of a central in leader election. */
export type CentralStatus = z.infer<typeof centralStatus>;

/** `tessera/central/central/models`: the models of the active central, served or refused. */
export const centralModels = z.object({
  v: z.literal(1),
  models: z.record(
    text,
    z.object({
      state: z.enum(['served', 'refused']),
      /** Why, where it is refused. */
      error: z.object({ code: text, message: text, hint: text.optional() }).optional(),
    }),
  ),
});
/** What the active central serves. */
export type CentralModels = z.infer<typeof centralModels>;

/** Why a plan is made again while frames flow. */
export const PLAN_CAUSES = ['network', 'cpu', 'memory', 'thermal', 'node joined', 'node left', 'slower'] as const;

/**
 * `tessera/plan/<model>`: the active plan. `measured`: the median of its latest frames; `changed`: what it was made for,
 * if it was made while frames flow; `macs_on_nodes`: share of the whole network's multiply-adds (0..1).
 */
export const planStatus = z.object({
  id: text,
  since: z.number(),
  strategy: text.optional(),
  reason: text,
  predicted: z.object({ latency_ms: z.number() }).nullable(),
  measured: z
    .object({
      latency_ms: z.number(),
      /** Computing of each stage at its slowest node; absent: no frame told. */
      stages: z.array(z.object({ id: count, compute_ms: z.number() })).optional(),
    })
    .nullable(),
  changed: z.array(z.object({ what: z.enum(PLAN_CAUSES), node: text })).optional(),
  /** Resident memory of machines around the change from the plan before it, MB. */
  memory: z
    .record(text, z.object({ before_mb: z.number(), most_mb: z.number(), after_mb: z.number().nullable() }))
    .optional(),
  macs_on_nodes: z.number(),
  conv_macs_on_nodes: z.number(),
  stages: z.array(z.object({ id: count, split: text, outputs: z.array(text), on: text })),
});
/** The active plan of a model. */
export type PlanStatus = z.infer<typeof planStatus>;

/** `tessera/plan/<model>/ranking`: the plans that the last search compared, while frames flow. */
export const planRanking = z.object({
  v: z.literal(1),
  /** Unix seconds. */
  time: z.number(),
  /** The plan that was in use then. */
  active: text,
  /** Why the first one is better than the second; absent: it is alone. */
  why: text.optional(),
  /** The best plan of each strategy (eight at most) and the one in use, the best first. */
  plans: z.array(
    z.object({
      plan: text,
      strategy: text,
      reason: text,
      /** What plans are compared by: the latency; longer where frames come faster than the plan takes them. */
      cost_ms: z.number(),
      /** Predicted, of a frame that is alone. */
      latency_ms: z.number(),
      /** Bytes of a frame between machines. */
      bytes: count,
      /** Computing of each stage at its slowest node, as predicted. */
      stages: z.array(z.object({ id: count, compute_ms: z.number() })),
    }),
  ),
});
/** The plans that a search compared. */
export type PlanRanking = z.infer<typeof planRanking>;

/**
 * `tessera/stats`, every ten seconds: central's counters since the last report. Quantiles are null where no frame
 * ended.
 */
export const stats = z.object({
  v: z.literal(1),
  window_s: z.number(),
  cameras: z.record(
    z.string(),
    z.object({
      camera_fps: z.number(),
      process_fps: z.number(),
      skipped_fps: z.number(),
      latency_ms: z.object({ p50: z.number().nullable(), p95: z.number().nullable() }),
      frames: z.object({ ok: count, degraded: count, error: count }),
      /** Frames that ended at an early exit. */
      left_early: count,
      skipped: z.partialRecord(z.enum(SKIP_REASONS), count),
    }),
  ),
  /**
   * By node (`central` included): tiles whose results were used, tiles answered with an error, tiles given up because
   * it was silent.
   */
  nodes: z.record(
    z.string(),
    z.object({
      tiles: count,
      /** How many of these a second node computed too. */
      audited: count,
      /** Messages with results that central did not request, or no longer needs; dropped undecoded. */
      unasked: count,
      errors: count,
      given_up: count,
      hedges_won: count,
      bytes_up: count,
      bytes_down: count,
    }),
  ),
  /** Unused tile results by reason, and requests beyond the first for each tile. */
  tiles: z.object({
    duplicate: count,
    stray: count,
    late: count,
    'stale-epoch': count,
    hedged: count,
    resent: count,
    filled: count,
    audited: count,
  }),
  /**
   * At the time of the report: accepted frames and bytes of their tensors; waiting frames and their bytes; tiles that
   * wait for a node's credit, and bytes of results that nodes owe.
   */
  buffers: z.object({
    open_frames: count,
    open_bytes: count,
    waiting_frames: count,
    waiting_bytes: count,
    queued_tiles: count,
    owed_bytes: count,
  }),
  /** Messages between central and nodes; unusable ones: `invalid`, without a handler, dropped undecoded. */
  wire: z.object({
    sent: count,
    sent_bytes: count,
    received: count,
    received_bytes: count,
    invalid: count,
    unhandled: count,
    dropped: count,
  }),
  /** Central's connections to the broker: how many were made, and messages that the broker did not get. */
  bus: z.object({ connections: count, dropped_offline: count, rejected: count }),
});
/** `tessera/stats`. */
export type StatisticsMessage = z.infer<typeof stats>;
