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
  memory_mb: z.number(),
  runtime: text,
  codecs: z.array(text),
  splits: z.array(text),
  /** What it can do beyond work whose inputs are inline and whose results go to the sender. */
  features: z.array(text),
  max_message: count,
  session_memory_mb: z.number(),
  models: z.array(z.object({ name: text, sha256: text })),
});
/** What a node says of itself. */
export type NodeInfo = z.infer<typeof nodeInfo>;

/** How far a node is with a plan. */
export const PLAN_STATES = ['waiting', 'fetching', 'loading', 'ready', 'refused'] as const;
/** How far a node is with a plan: `bytes` of `of` bytes of the model's pieces are here; `text` says why it refuses. */
const planProgress = z.object({
  id: text,
  model: text,
  state: z.enum(PLAN_STATES),
  bytes: count.optional(),
  of: count.optional(),
  text: text.optional(),
});
/** How far a node is with a plan. */
export type PlanProgress = z.infer<typeof planProgress>;

/** `tessera/node/<node>/heartbeat`, every second. */
export const heartbeat = z.object({
  v: z.literal(1),
  /** When it was sent by the node's own clock, Unix seconds; only for showing clocks that are wrong. */
  time: z.number().optional(),
  cpu_percent: z.number(),
  load_average: z.tuple([z.number(), z.number(), z.number()]),
  memory_percent: z.number(),
  memory_used_mb: z.number(),
  temp_c: z.number().nullable(),
  throttled: text,
  queue: count,
  tiles_per_s: z.number(),
  /** Of the central that it follows; 0 before that has spoken to it. */
  epoch: count.optional(),
  loop_delay_ms: z.number(),
  uptime_sec: z.number(),
  /** The plans that it was asked to prepare, the newest last. */
  plans: z.array(planProgress).max(64).optional(),
});
/** What a node reports each second. */
export type Heartbeat = z.infer<typeof heartbeat>;

/** What is said of a node. More may be added. */
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
/** What is said of a node. */
export type NodeEventName = (typeof NODE_EVENTS)[number];

/** `tessera/event/node/<node>`: something happened to a node, as the active central sees it. */
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

/** `tessera/central/central/left-out`: nodes that answered wrongly and get no work until they are restarted. */
export const leftOut = z.object({
  v: z.literal(1),
  nodes: z.record(
    text,
    z.object({
      /** Unix seconds. */
      since: z.number(),
      reason: text,
      /** Ids of the last results that used its tiles before. */
      results: z.array(text).max(64),
    }),
  ),
});
/** Nodes that answered wrongly. */
export type LeftOut = z.infer<typeof leftOut>;
