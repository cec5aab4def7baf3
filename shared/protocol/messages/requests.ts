import { MAX_REPEATS } from '../../plan/limits.ts';
import { z } from '../../schema.ts';
import { codecsTimed, measured, probed, tuned } from './control.ts';
import { count, nodeId, sha, text } from './fields.ts';

/** Frames that one request has traced at most. */
const MAX_TRACED = 1000;

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
 * `tessera/request/node-invite`: grants access. The requester makes the secret and sends only its salted SHA-256. With
 * `expires_s` it is a code for one use by a node that joins; without, the permanent password of `role` and `name`.
 * With `only_new` a user that has a password already is refused, which the new one would replace.
 */
export const nodeInvite = z.object({
  transaction: text,
  role: text,
  name: text,
  salt: z.string().regex(/^([0-9a-f]{2}){8,32}$/),
  hash: sha,
  expires_s: z.number().int().positive().max(2_592_000).optional(),
  only_new: z.boolean().optional(),
});
/** A request to grant access. */
export type NodeInvite = z.infer<typeof nodeInvite>;

/** `data` of the response to `node-invite`: the content of the invitation besides the code. */
export const nodeInvited = z.object({
  user: text,
  server: text,
  base: text,
  ca: z.string().max(16_384).optional(),
  /** Public keys of the known centrals. */
  keys: z.array(text).max(4),
  /** Public keys that releases of the program are signed with. */
  update_keys: z.array(text).max(4).optional(),
  /** Unix seconds. */
  expires: z.number().optional(),
});
/** Content of an invitation besides the code. */
export type NodeInvited = z.infer<typeof nodeInvited>;

/** `tessera/request/node-revoke`: revokes access; `closed` in the response counts the closed connections. */
export const nodeRevoke = z.object({ transaction: text, role: text, name: text });
/** `data` of the answer to `node-revoke`. */
export const nodeRevoked = z.object({ user: text, closed: count });
/** The user whose access was revoked. */
export type NodeRevoked = z.infer<typeof nodeRevoked>;

/**
 * `tessera/request/deploy`: central puts a plan to work for its model, or without `plan` the one before it. `model` is
 * needed where several served models fit.
 */
export const deployRequest = z.object({ transaction: text, model: text.optional(), plan: z.unknown().optional() });
/** A request to put a plan to work. */
export type Deploy = z.infer<typeof deployRequest>;

/** `data` of the answer to `deploy`, once the plan serves new frames: the nodes that are ready, and that refuse it. */
export const deployedAnswer = z.object({
  model: text,
  plan: text,
  reason: text,
  ready: z.array(text),
  refused: z.array(z.object({ node: text, text })),
});
/** The plan that was put to work. */
export type Deployed = z.infer<typeof deployedAnswer>;

/** `tessera/request/trace`: central publishes where the time of a camera's next frames went, on the answer's topic. */
export const traceRequest = z.object({
  transaction: text,
  camera: text,
  frames: z.number().int().min(1).max(MAX_TRACED).default(1),
});
/** A request for traces. */
export type TraceRequest = z.infer<typeof traceRequest>;

/** `data` of the answer to `trace`. */
export const traceAnswer = z.object({ topic: text });

/** Most bytes of a profile that central takes. */
export const MAX_PROFILE_BYTES = 8_000_000;
/** Most of them in one request. */
export const PROFILE_PART_BYTES = 40_000;

/**
 * `tessera/request/profile`: a part of a profile (`tessera-profile/1`) of a network that central serves, in base64; `sha` is
 * the SHA-256 of its `size` bytes.
 */
export const profilePart = z.object({
  transaction: text,
  sha,
  size: count.positive().max(MAX_PROFILE_BYTES),
  offset: count,
  d: z.base64().max(4 * Math.ceil(PROFILE_PART_BYTES / 3)),
});
/** A part of a profile. */
export type ProfilePart = z.infer<typeof profilePart>;

/** `data` of the answer to `profile`: bytes that are there; with the last part, the nodes whose times central uses now. */
export const profileTaken = z.object({ received: count, nodes: z.array(text).nullable() });
/** How much of a profile is there. */
export type ProfileTaken = z.infer<typeof profileTaken>;

/** `tessera/request/node-readmit`: central gives work again to a node that it had excluded. */
export const nodeReadmit = z.object({ transaction: text, node: text });
/** A request to readmit a node. */
export type NodeReadmit = z.infer<typeof nodeReadmit>;

/** `data` of the answer to `node-readmit`. */
export const nodeReadmitted = z.object({ node: text });
/** The node that was readmitted. */
export type NodeReadmitted = z.infer<typeof nodeReadmitted>;

/** `tessera/request/node-drain`: central gives a node no new work, or work again; `data` of the answer repeats it. */
export const nodeDrain = z.object({ transaction: text, node: nodeId, drained: z.boolean() });
/** A request to drain a node. */
export type NodeDrain = z.infer<typeof nodeDrain>;
/** `data` of the answer to `node-drain`. */
export const nodeDrained = nodeDrain.omit({ transaction: true });

/**
 * `tessera/request/measure-stage`: a node measures the first stage of a plan for a served model; the fields are those of
 * `measure` on the wire.
 */
export const measureStage = z.object({
  transaction: text,
  node: nodeId,
  plan: z.unknown(),
  warmup: count.max(MAX_REPEATS),
  repeats: count.min(1).max(MAX_REPEATS),
  budget_ms: z.number().nonnegative(),
});
/** A request to measure a stage. */
export type MeasureStage = z.infer<typeof measureStage>;

/** `data` of the answer to `measure-stage`. */
export const stageMeasured = z.object(measured);
/** Times of a stage. */
export type StageMeasured = z.infer<typeof stageMeasured>;

/** `tessera/request/tune`: a node searches the fastest settings for the model of a plan, by the time of its first stage. */
export const tuneRequest = z.object({
  transaction: text,
  node: nodeId,
  plan: z.unknown(),
  repeats: count.min(1).max(MAX_REPEATS),
  budget_ms: z.number().nonnegative(),
});
/** A request to search the fastest settings. */
export type TuneRequest = z.infer<typeof tuneRequest>;

/** `data` of the answer to `tune`. */
export const tunedAnswer = z.object(tuned);
/** The fastest settings. */
export type TunedAnswer = z.infer<typeof tunedAnswer>;

/** `tessera/request/measure-link`: a node measures its link to another one. */
export const measureLink = z.object({
  transaction: text,
  from: nodeId,
  to: nodeId,
  repeats: count.min(1).max(MAX_REPEATS),
});
/** A request to measure a link. */
export type MeasureLink = z.infer<typeof measureLink>;

/** `data` of the answer to `measure-link`. */
export const linkMeasured = z.object(probed);
/** Times of a link. */
export type LinkMeasured = z.infer<typeof linkMeasured>;

/** `tessera/request/measure-codecs`: a node measures how long it takes to encode and decode tensors. */
export const measureCodecs = z.object({ transaction: text, node: nodeId });
/** A request to measure codecs. */
export type MeasureCodecs = z.infer<typeof measureCodecs>;

/** `data` of the answer to `measure-codecs`. */
export const codecsMeasured = z.object(codecsTimed);
/** Times of codecs. */
export type CodecsMeasured = z.infer<typeof codecsMeasured>;

/** `tessera/request/measure-frame`: what central's own work for a model's frames took lately. */
export const measureFrame = z.object({ transaction: text, model: text });
/** A request for central's own work. */
export type MeasureFrame = z.infer<typeof measureFrame>;

/**
 * `data` of the answer to `measure-frame`, medians over the latest frames, ms: until a frame is decoded, and from the
 * network's outputs to the prediction. `frames` counts them; without any, times are 0.
 */
export const frameMeasured = z.object({
  open_ms: z.number().nonnegative(),
  finish_ms: z.number().nonnegative(),
  frames: count,
});
/** Central's own work for a frame. */
export type FrameMeasured = z.infer<typeof frameMeasured>;
