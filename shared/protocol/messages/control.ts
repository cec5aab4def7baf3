import { codecSpec } from '../../codec/spec.ts';
import { COLORS, RESIZES } from '../../model/picture-placement.ts';
import { runtimeSettings } from '../../node/runtime-settings.ts';
import { MAX_PARTS, MAX_REGIONS, MAX_REPEATS, MAX_SLICES } from '../../plan/limits.ts';
import { z } from '../../schema.ts';
import { bytes, count, destinations, imageId, nodeId, sha, tensorName, text } from './fields.ts';
import { regionPlace } from './region.ts';

/**
 * How a picture becomes the graph's input `tensor`, uint8 [1, height, width, channels]: a node needs this to decode a
 * camera's frame itself (model/picture-placement.ts).
 */
const picture = z.object({
  tensor: tensorName,
  width: count.min(1),
  height: count.min(1),
  color: z.enum(COLORS),
  resize: z.enum(RESIZES),
  crop: z.number().gt(0).max(1),
});

/**
 * A model on the wire: its graph without the large weights (the skeleton), and one blob per large weight, all named by
 * hash. `slices`: regions of weights that parts of the plan read, each as a blob of its own. Without `picture` its
 * frames are tensors.
 */
export const modelManifest = z.object({
  format: z.literal('tessera-model/1'),
  name: text,
  picture: picture.optional(),
  skeleton: z.object({ sha, size: count }),
  blobs: z.array(z.object({ sha, size: count })).max(65536),
  slices: z
    .array(regionPlace.extend({ sha, size: count }))
    .max(MAX_SLICES)
    .optional(),
  signature: bytes.optional(),
});
/** A model on the wire. */
export type ModelManifest = z.infer<typeof modelManifest>;

/** Most frames in one `free`. */
const MAX_FREED = 4096;

/** Most codecs in one measurement. */
const MAX_CODECS = 32;

/** Most sizes of echoes in one measurement. */
const MAX_SIZES = 16;

const ms = z.number().nonnegative();
const times = z.array(ms).min(1).max(MAX_REPEATS);
/** Times of the runs of a stage, ms, and the parts of frames that were computed meanwhile. */
export const measured = { ms: times, others: count };
/** The fastest settings of the runtime for a model, the time of a run with them, ms, and with the usual ones. */
export const tuned = { settings: runtimeSettings, ms, usual_ms: ms };
/** Times until the answers to echoes by their size, ms, and the sender's CPU time per message. */
export const probed = {
  echoes: z
    .array(z.object({ bytes: count, ms: times }))
    .min(1)
    .max(MAX_SIZES),
  message_ms: ms,
};
/**
 * How long the executor takes to have a tensor handed over and back, ms, and, by codec, to encode and decode 10^6 bytes of
 * values.
 */
export const codecsTimed = {
  part_ms: ms,
  codecs: z.array(z.object({ name: text, encode_ms: ms, decode_ms: ms })).max(MAX_CODECS),
};

/**
 * `control` to a node. `plan` is a Plan value, checked by plan/validate.ts; `stages` are the ids of the stages that the
 * node may compute; `epoch` is the sender's: a node ignores other epochs than the one that it follows. `request` is the
 * number of a `prepare` or `send`; the answer repeats it, so that an answer to an earlier one is not taken for a later
 * one's. `send` orders regions of one tile that the node holds (without `stage`: of the frame itself); `attempt` is that
 * of the work that made them. Its answer is `sent`, once the network has the `bytes`, or `missing` with the regions that
 * are not there, and then nothing was sent. `free`: drop what belongs to these frames.
 *
 * `measure`: prepare a stage, run its first part on made-up inputs, `warmup` times and then `repeats` times; more times
 * until 50 ms are over, and fewer once `budget_ms` are over, but at least three times. `measured`: the time of each run,
 * ms; `others` counts the parts of frames that were computed meanwhile. `tune`: search the fastest settings of the runtime
 * for a stage, and use them for its model from now on; `repeats` and `budget_ms` are those of each settings. `tuned`:
 * these settings. `probe`: exchange echoes with the node `to`, so many of each size, of at most `bytes`. `probed`: the
 * times until the answers by size, ms, and the own CPU time of this process per message. `time-codecs`: encode and decode
 * a made-up tensor with each codec. `codecs-timed`: the times of that. `unmeasured`: why not.
 */
export const controlMessage = z.discriminatedUnion('type', [
  z.object({
    v: z.literal(1),
    type: z.literal('prepare'),
    plan: z.unknown(),
    manifest: modelManifest,
    stages: z.array(count).max(64),
    epoch: count.optional(),
    request: count.optional(),
  }),
  z.object({ v: z.literal(1), type: z.literal('release'), plan: text, epoch: count.optional() }),
  z.object({
    v: z.literal(1),
    type: z.literal('cancel'),
    i_id: imageId,
    stage: count,
    t_id: z.array(count).max(MAX_PARTS),
  }),
  z.object({
    v: z.literal(1),
    type: z.literal('send'),
    plan: text,
    i_id: imageId,
    stage: count.optional(),
    t_id: count,
    attempt: count,
    regions: z
      .array(regionPlace.extend({ codec: codecSpec }))
      .min(1)
      .max(MAX_REGIONS),
    to: destinations,
    request: count,
  }),
  z.object({ v: z.literal(1), type: z.literal('free'), i_id: z.array(imageId).min(1).max(MAX_FREED) }),
  z.object({
    v: z.literal(1),
    type: z.literal('sent'),
    i_id: imageId,
    request: count,
    bytes: count,
    ms,
  }),
  z.object({
    v: z.literal(1),
    type: z.literal('missing'),
    i_id: imageId,
    request: count,
    regions: z.array(regionPlace).max(MAX_REGIONS),
  }),
  z.object({
    v: z.literal(1),
    type: z.literal('ready'),
    plan: text,
    boot_id: text,
    /** Absent: all that were asked for. */
    stages: z.array(count).max(64).optional(),
    request: count.optional(),
  }),
  z.object({
    v: z.literal(1),
    type: z.literal('refused'),
    plan: text,
    code: text,
    text,
    request: count.optional(),
  }),
  z.object({
    v: z.literal(1),
    type: z.literal('measure'),
    plan: z.unknown(),
    manifest: modelManifest,
    stage: count,
    warmup: count.max(MAX_REPEATS),
    repeats: count.min(1).max(MAX_REPEATS),
    budget_ms: ms,
    epoch: count.optional(),
    request: count,
  }),
  z.object({ v: z.literal(1), type: z.literal('measured'), request: count, ...measured }),
  z.object({
    v: z.literal(1),
    type: z.literal('tune'),
    plan: z.unknown(),
    manifest: modelManifest,
    stage: count,
    repeats: count.min(1).max(MAX_REPEATS),
    budget_ms: ms,
    epoch: count.optional(),
    request: count,
  }),
  z.object({ v: z.literal(1), type: z.literal('tuned'), request: count, ...tuned }),
  z.object({
    v: z.literal(1),
    type: z.literal('probe'),
    to: nodeId,
    repeats: count.min(1).max(MAX_REPEATS),
    bytes: count.optional(),
    epoch: count.optional(),
    request: count,
  }),
  z.object({ v: z.literal(1), type: z.literal('probed'), request: count, ...probed }),
  z.object({ v: z.literal(1), type: z.literal('time-codecs'), epoch: count.optional(), request: count }),
  z.object({ v: z.literal(1), type: z.literal('codecs-timed'), request: count, ...codecsTimed }),
  z.object({ v: z.literal(1), type: z.literal('unmeasured'), request: count, code: text, text }),
]);
/** `control` between central and a node, both directions. */
export type ControlMessage = z.infer<typeof controlMessage>;
