import { codecSpec } from '../codec/spec.ts';
import { MAX_RANK, MAX_STAGE_TENSORS, MAX_TENSOR_NAME } from '../plan/limits.ts';
import { z } from '../schema.ts';
import { DTYPE_BYTES, type Dtype } from '../tensor/tensor.ts';

/**
 * Every message of the wire (CBOR) and of the topics that people read (JSON), as schemas; types follow from them.
 * Unknown keys are ignored. docs/protocol.md shows an example of each; test/contract keeps frozen samples.
 *
 *   box    [[start, end], ...] one half-open range per axis of the tensor, in elements
 *   d      bytes, encoded by `codec`
 *   i_id   `<epoch>-<counter>`; t_id counts tiles of a stage row by row
 */

const count = z.number().int().nonnegative();
const text = z.string().max(1024);
const sha = z.string().regex(/^[0-9a-f]{64}$/);
const dtype = z.enum(Object.keys(DTYPE_BYTES) as [Dtype, ...Dtype[]]);
const shape = z.array(count.max(2 ** 31)).max(MAX_RANK);
const box = z.array(z.tuple([count, count])).max(MAX_RANK);
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes');
const tensorName = z.string().max(MAX_TENSOR_NAME);
const imageId = z.string().regex(/^[0-9]{1,15}-[0-9]{1,15}$/);
const codec = codecSpec;

/** An encoded region of a tensor: `shape` is the region's. */
const region = z.object({ tensor: tensorName, box, dtype, shape, codec, d: bytes });
/** A region under way. */
export type WireRegion = z.infer<typeof region>;

/** An input of a work item: inline; `held` and `from` (node to node) have their place and are not used yet. */
const workInput = z.union([region, z.object({ tensor: tensorName, box, from: z.string() })]);

/** What a work item asks for; `to` other than the asking central is reserved for node to node transfer. */
const workOutput = z.object({ tensor: tensorName, box, codec, to: z.string().optional() });

/** Reasons why a node did not do a work item. */
export const WORK_ERRORS = ['expired', 'busy', 'unknown-plan', 'out-of-memory', 'bad-input', 'run-failed'] as const;
/** Reason why a node did not do a work item. */
export type WorkError = (typeof WORK_ERRORS)[number];

/** `work`: run these tiles of one stage of one frame. */
export const workMessage = z.object({
  v: z.literal(1),
  plan: text,
  i_id: imageId,
  stage: count,
  attempt: count,
  budget_ms: z.number().nonnegative(),
  tiles: z
    .array(
      z.object({
        t_id: count,
        in: z.array(workInput).max(MAX_STAGE_TENSORS),
        out: z.array(workOutput).max(MAX_STAGE_TENSORS),
      }),
    )
    .min(1)
    .max(4096),
});
/** `work`: run these tiles of one stage of one frame. */
export type WorkMessage = z.infer<typeof workMessage>;

/** `result`: what came of work; per tile outputs or an error. `queue_ms`: from arrival to the start of the first tile. */
export const resultMessage = z.object({
  v: z.literal(1),
  plan: text,
  i_id: imageId,
  stage: count,
  attempt: count,
  n_id: z.string(),
  queue_ms: z.number().nonnegative(),
  tiles: z
    .array(
      z.union([
        z.object({ t_id: count, out: z.array(region).max(MAX_STAGE_TENSORS), compute_ms: z.number().nonnegative() }),
        z.object({ t_id: count, error: z.object({ code: z.enum(WORK_ERRORS), text }) }),
      ]),
    )
    .max(4096),
});
/** `result`: what came of work. */
export type ResultMessage = z.infer<typeof resultMessage>;

/** A model on the wire: its graph without the large weights, and one blob per large weight, all by hash. */
export const modelManifest = z.object({
  format: z.literal('tessera-model/1'),
  name: text,
  skeleton: z.object({ sha, size: count }),
  blobs: z.array(z.object({ sha, size: count })).max(65536),
  signature: bytes.optional(),
});
/** A model on the wire. */
export type ModelManifest = z.infer<typeof modelManifest>;

/**
 * `control` to a node. `plan` is a Plan value, checked by plan/validate.ts; `stages` are the ids that the node may be
 * asked for; `epoch` is the sender's: a node does nothing for an epoch below the highest that it has seen. `ask` numbers
 * what is asked; the answer repeats it, so that one to an earlier question is not taken for one to a later.
 */
export const controlMessage = z.discriminatedUnion('type', [
  z.object({
    v: z.literal(1),
    type: z.literal('prepare'),
    plan: z.unknown(),
    manifest: modelManifest,
    stages: z.array(count).max(64),
    epoch: count.optional(),
    ask: count.optional(),
  }),
  z.object({ v: z.literal(1), type: z.literal('release'), plan: text, epoch: count.optional() }),
  z.object({ v: z.literal(1), type: z.literal('cancel'), i_id: imageId, stage: count, t_id: z.array(count).max(4096) }),
  z.object({ v: z.literal(1), type: z.literal('ready'), plan: text, boot_id: text, ask: count.optional() }),
  z.object({
    v: z.literal(1),
    type: z.literal('refused'),
    plan: text,
    code: text,
    text,
    ask: count.optional(),
  }),
]);
/** `control` between central and a node, both directions. */
export type ControlMessage = z.infer<typeof controlMessage>;

/** `blob-get`: send me a range of a blob. */
export const blobGetMessage = z.object({ v: z.literal(1), sha, offset: count, length: count.max(1 << 20) });
/** `blob-get` */
export type BlobGetMessage = z.infer<typeof blobGetMessage>;

/** `blob-part`: the range; an `error` in place of `d` where the sender has no such blob. */
export const blobPartMessage = z.object({
  v: z.literal(1),
  sha,
  size: count,
  offset: count,
  d: bytes.optional(),
  error: text.optional(),
});
/** `blob-part` */
export type BlobPartMessage = z.infer<typeof blobPartMessage>;

/** A piece of a body over 256 KiB: `m` names the whole, `part` is [index from 0, number of parts]. */
export const partMessage = z.object({
  v: z.literal(1),
  m: z.string().max(64),
  part: z.tuple([count, count]),
  d: bytes,
});
/** A piece of a large body. */
export type PartMessage = z.infer<typeof partMessage>;

/** A frame that is not a plain JPEG or PNG: raw pixels (HWC) or a tensor for the model's first input. */
export const frameEnvelope = z.object({
  v: z.literal(1),
  id: text.optional(),
  time: z.number().optional(),
  /** `jpeg` | `png`: d is such a file; `rgb` | `bgr` | `gray`: uint8 [h, w, c]; `tensor`: the model's first input. */
  format: z.enum(['jpeg', 'png', 'rgb', 'bgr', 'gray', 'tensor']),
  dtype: dtype.optional(),
  shape: shape.optional(),
  d: bytes,
  /** True: the model's outputs are published too, on `<base>/result/<camera>/<model>/tensor`. */
  tensors: z.boolean().optional(),
});
/** A frame in a CBOR envelope. */
export type FrameEnvelope = z.infer<typeof frameEnvelope>;

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

/** Tasks that a model may have. */
export const TASKS = ['classify', 'detect', 'segment', 'image', 'raw'] as const;
/** A model's task. */
export type Task = (typeof TASKS)[number];

/** How a frame ended. */
export const OUTCOMES = ['ok', 'degraded', 'error'] as const;
/** How a frame ended. */
export type Outcome = (typeof OUTCOMES)[number];

/** Why a frame was not accepted. */
export const SKIP_REASONS = [
  'newer-frame',
  'rate-limit',
  'retained',
  'no-model',
  'queue-full',
  'buffers-full',
  'invalid',
  'duplicate',
  'stopping',
] as const;
/** Why a frame was not accepted. */
export type SkipReason = (typeof SKIP_REASONS)[number];

/** Why central computed what the plan gives to nodes. */
export const FALLBACK_REASONS = ['no-nodes', 'not-ready', 'refused', 'failed'] as const;
/** Why central computed what the plan gives to nodes. */
export type FallbackReason = (typeof FALLBACK_REASONS)[number];

/** One thing that was found; `box` is x1, y1, x2, y2 in pixels of the received frame after EXIF turning. */
export const prediction = z.object({
  label: text,
  score: z.number(),
  box: z.tuple([z.number(), z.number(), z.number(), z.number()]).optional(),
});
/** One thing that was found. */
export type Prediction = z.infer<typeof prediction>;

/** `tessera/result/<camera>/<model>`: what every accepted frame ends with. */
export const resultObject = z.object({
  v: z.literal(1),
  id: text,
  frame: text,
  camera: text,
  model: text,
  model_version: text,
  /** Unix seconds. */
  frame_time: z.number(),
  latency_ms: z.number(),
  width: z.number().nullable(),
  height: z.number().nullable(),
  task: z.enum(TASKS),
  status: z.enum(OUTCOMES),
  top: z.object({ label: text, score: z.number() }).nullable(),
  predictions: z.array(prediction),
  approximate: z.boolean(),
  missing: z.array(z.object({ stage: count, t_id: count })),
  /** Index in the exits of model.yaml of the one that the frame ended at. */
  exit: z.number().nullable(),
  plan: text.nullable(),
  nodes: z.array(text),
  /** Encoded tensor bytes sent to nodes and received from them for this frame, and tiles done by each node. */
  bytes_up: count,
  bytes_down: count,
  tiles_per_node: z.record(z.string(), count),
  /** Present where central computed what the plan gives to nodes. */
  fallback: z.object({ reason: z.enum(FALLBACK_REASONS), text }).optional(),
  error: z.object({ code: text, message: text, hint: text.optional() }).optional(),
});
/** What every accepted frame ends with. */
export type ResultObject = z.infer<typeof resultObject>;

/** `tessera/result/<camera>/<model>/tensor` (CBOR), on request: the model's outputs for one frame. */
export const tensorMessage = z.object({ v: z.literal(1), id: text, frame: text, outputs: z.array(region) });
/** The model's outputs for one frame. */
export type TensorMessage = z.infer<typeof tensorMessage>;

/** `tessera/plan/<model>`: the active plan. `macs_on_nodes`: share of the whole network's multiply-adds (0..1). */
export const planStatus = z.object({
  id: text,
  since: z.number(),
  reason: text,
  predicted: z.object({ latency_ms: z.number() }).nullable(),
  measured: z.object({ latency_ms: z.number() }).nullable(),
  macs_on_nodes: z.number(),
  conv_macs_on_nodes: z.number(),
  stages: z.array(z.object({ id: count, split: text, outputs: z.array(text), on: text })),
});
/** The active plan of a model. */
export type PlanStatus = z.infer<typeof planStatus>;

/** `tessera/stats`, every ten seconds: what central did since the last report. Quantiles are null where no frame ended. */
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
      /** Frames that ended at an exit. */
      left_early: count.optional(),
      skipped: z.partialRecord(z.enum(SKIP_REASONS), count),
    }),
  ),
  /** By node (`central` among them): tiles whose results were used, work it could not do, work given up for its silence. */
  nodes: z.record(
    z.string(),
    z.object({
      tiles: count,
      /** Of these, how many somebody else computed too. */
      audited: count.optional(),
      /** Messages with results that it was not asked for, or not any more; dropped undecoded. */
      unasked: count.optional(),
      errors: count.optional(),
      given_up: count.optional(),
      hedges_won: count.optional(),
      bytes_up: count,
      bytes_down: count,
    }),
  ),
  /** Tile results that were not used, by reason, and requests beside the first for each tile. */
  tiles: z
    .object({
      duplicate: count,
      stray: count,
      late: count,
      'stale-epoch': count,
      hedged: count,
      resent: count,
      filled: count,
      audited: count.optional(),
    })
    .optional(),
  /** What is held at the time of the report: accepted frames, bytes of their tensors, bytes of frames that wait. */
  buffers: z.object({ open_frames: count, open_bytes: count, waiting_bytes: count }).optional(),
});

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

/** What a central may be: `lost` is its last will, `ended` its goodbye. */
export const CENTRAL_STATES = ['standby', 'claiming', 'active', 'ended', 'lost'] as const;

/** `tessera/central/<id>/status` and `.../heartbeat`: what a central says of itself; one is active per base. */
export const centralStatus = z.object({
  v: z.literal(1),
  id: text,
  boot_id: text,
  state: z.enum(CENTRAL_STATES),
  /** Of its last claim: rises from one active central to the next. */
  epoch: count,
  /** Counts what it has said in this run. */
  seq: count,
});
/** What a central says of itself. */
export type CentralStatus = z.infer<typeof centralStatus>;

/** `tessera/central/central/models`: what the active central serves, and what it was told to serve and cannot. */
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

/** `tessera/request/<command>` */
export const request = z.object({ transaction: text }).loose();
/** `tessera/response/<command>` */
export const response = z.object({
  status: z.enum(['ok', 'error']),
  data: z.unknown().optional(),
  error: text.optional(),
  code: text.optional(),
  hint: text.optional(),
  transaction: text,
});
/** Answer to a request. */
export type Response = z.infer<typeof response>;

/**
 * `tessera/request/node-invite`: lets somebody in. Whoever asks makes the secret and sends only its salted SHA-256. With
 * `expires_s` it is a code that is good once, for a node that joins; without, the lasting password of `role` and `name`.
 */
export const nodeInvite = z.object({
  transaction: text,
  role: text,
  name: text,
  salt: z.string().regex(/^([0-9a-f]{2}){8,32}$/),
  hash: sha,
  expires_s: z.number().int().positive().max(2_592_000).optional(),
});
/** A request to let somebody in. */
export type NodeInvite = z.infer<typeof nodeInvite>;

/** `data` of the answer to `node-invite`: what the invitation says beside the code. */
export const nodeInvited = z.object({
  user: text,
  server: text,
  base: text,
  ca: z.string().max(16_384).optional(),
  /** Public keys of the centrals that are known. */
  keys: z.array(text).max(4),
  /** Unix seconds. */
  expires: z.number().optional(),
});
/** What an invitation says beside the code. */
export type NodeInvited = z.infer<typeof nodeInvited>;

/** `tessera/request/node-revoke`: throws somebody out; `closed` in the answer counts the connections that ended. */
export const nodeRevoke = z.object({ transaction: text, role: text, name: text });
/** `data` of the answer to `node-revoke`. */
export const nodeRevoked = z.object({ user: text, closed: count });
/** Who was thrown out. */
export type NodeRevoked = z.infer<typeof nodeRevoked>;
