import { z } from '../../schema.ts';
import { count, text } from './fields.ts';

/** `tessera/node/<node>/info` */
export const nodeInfo = z.object({
  v: z.literal(1),
  id: text,
  session: text,
  boot_id: text,
  version: text,
  wire: z.tuple([count, count]),
  tier: z.enum(['device', 'edge', 'cloud']),
  hardware: text,
  arch: text,
  os: text,
  cores: count,
  /** Threads of one inference run. */
  threads: count.optional(),
  memory_mb: z.number(),
  runtime: text,
  codecs: z.array(text),
  splits: z.array(text),
  /** Features beyond work with inline inputs and results to the sender. */
  features: z.array(text),
  max_message: count,
  session_memory_mb: z.number(),
  /** Megabytes (10^6) for regions of tensors that the node keeps for later tiles; absent: it keeps none. */
  region_memory_mb: z.number().optional(),
  models: z.array(z.object({ name: text, sha256: text })),
});
/** Capabilities that a node announces. */
export type NodeInfo = z.infer<typeof nodeInfo>;

/** How far a node is with a plan. */
export const PLAN_STATES = ['waiting', 'fetching', 'loading', 'ready', 'refused'] as const;
/**
 * State of a plan at a node: `bytes` of `of` bytes of the model are downloaded, at the mean rate `bytes_per_s`, and the
 * rest will take about `left_s` seconds; `text` is the reason of a refusal.
 */
const planState = z.object({
  state: z.enum(PLAN_STATES),
  bytes: count.optional(),
  of: count.optional(),
  bytes_per_s: count.optional(),
  left_s: count.optional(),
  text: text.optional(),
});
const planProgress = planState.extend({ id: text, model: text });
/** How far a node is with a plan. */
export type PlanProgress = z.infer<typeof planProgress>;

/**
 * Regions of tensors at a node: `bytes` that it keeps, parts that wait for regions, and regions of other nodes that it
 * dropped since its start.
 */
const regionStats = z.object({ bytes: count, waiting: count, dropped: count });
/** Regions of tensors at a node. */
export type RegionStats = z.infer<typeof regionStats>;

/** `tessera/plan/<model>/progress`: how far the nodes are that prepare the model's newest plan. */
export const planPreparation = z.object({ v: z.literal(1), plan: text, nodes: z.record(text, planState) });
/** How far the nodes are with a plan. */
export type PlanPreparation = z.infer<typeof planPreparation>;

/** `tessera/node/<node>/heartbeat`, every second. */
export const heartbeat = z.object({
  v: z.literal(1),
  /** Send time by the node's own clock, Unix seconds; only for detecting wrong clocks. */
  time: z.number().optional(),
  cpu_percent: z.number(),
  load_average: z.tuple([z.number(), z.number(), z.number()]),
  memory_percent: z.number(),
  memory_used_mb: z.number(),
  /** Resident memory of the agent's process. */
  rss_mb: z.number().optional(),
  temp_c: z.number().nullable(),
  throttled: text,
  queue: count,
  regions: regionStats.optional(),
  tiles_per_s: z.number(),
  /** Epoch of the central that it follows; 0 before the first message of one. */
  epoch: count.optional(),
  loop_delay_ms: z.number(),
  uptime_sec: z.number(),
  /** The plans that it was asked to prepare, the newest last. */
  plans: z.array(planProgress).max(64).optional(),
});
/** What a node reports each second. */
export type Heartbeat = z.infer<typeof heartbeat>;

/** Events of a node. Later versions may add more. */
export const NODE_EVENTS = [
  'online',
  'offline',
  'silent',
  'back',
  'slow',
  'ready',
  'refused',
  'left-out',
  'let-in',
] as const;
/** The payload of a node's event. */
export type NodeEventName = (typeof NODE_EVENTS)[number];

/** `tessera/event/node/<node>`: a change of a node's state as the active central sees it. */
export const nodeEvent = z.object({
  v: z.literal(1),
  /** Unix seconds. */
  time: z.number(),
  node: text,
  /** One of `NODE_EVENTS`, or one of a later version. */
  event: text,
  /** For people. */
  text,
  plan: text.optional(),
});
/** Something that happened to a node. */
export type NodeEvent = z.infer<typeof nodeEvent>;

/** `tessera/central/central/drained`: nodes that somebody drained, which get no new work. */
export const drainedNodes = z.object({ v: z.literal(1), nodes: z.array(text).max(1024) });

/** `tessera/central/central/left-out`: nodes with wrong results, which get no work until they are restarted. */
export const leftOut = z.object({
  v: z.literal(1),
  nodes: z.record(
    text,
    z.object({
      /** Unix seconds. */
      since: z.number(),
      reason: text,
      /** Ids of the last results that used its tiles before it was excluded. */
      results: z.array(text).max(64),
    }),
  ),
});
/** Nodes with wrong results. */
export type LeftOut = z.infer<typeof leftOut>;
