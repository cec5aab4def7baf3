import { MAX_NODES, MAX_TENSOR_NAME } from '../../../shared/plan/limits.ts';
import { TIERS } from '../../../shared/plan/plan.ts';
import { isNodeId } from '../../../shared/protocol/topics.ts';
import { z } from '../../../shared/schema.ts';
import { MAX_BLOCKS, MAX_LAYERS, MAX_RUNS } from './limits.ts';

const name = z.string().min(1).max(MAX_TENSOR_NAME);
/** Larger numbers are mistakes, and their sums and products would not be numbers any more. */
const amount = z.number().nonnegative().max(1e15);
const index = z.number().int().nonnegative();
const node = z.string().refine(isNodeId, 'must be a node id: [a-z0-9-], at most 63 characters');
const perBlock = z.array(amount).min(1).max(MAX_BLOCKS);
const range = z.tuple([index, index]);

const block = z.object({
  name,
  /** Of the tensors that cross behind it. */
  output_bytes: amount,
  /** Those tensors; behind the last block the network's outputs. */
  cut: z.array(name).min(1).optional(),
  /** Its first and last layer. */
  layers: range.optional(),
});

const layer = z.object({
  name: z.string().max(MAX_TENSOR_NAME),
  op: z.string(),
  macs: amount,
  /** Of the weights that it reads. */
  weight_bytes: amount.optional(),
  inputs: z.array(name),
  outputs: z.array(z.object({ name, bytes: amount })),
});

/** Times in ms: the median, and where 10 % and 90 % of the repeats were shorter. */
const run = z.object({
  /** The first and last block. */
  blocks: range,
  ms: amount,
  p10_ms: amount.optional(),
  p90_ms: amount.optional(),
});

const profiledNode = z.object({
  id: node,
  tier: z.enum(TIERS),
  memory_mb: amount.optional(),
  hardware: z.string().optional(),
  runtime: z.string().optional(),
  threads: index.optional(),
  codecs: z.array(z.string()).optional(),
  splits: z.array(z.string()).optional(),
  /** Of each block, run alone: the median, and where 10 % and 90 % of the repeats were shorter. */
  block_ms: perBlock,
  p10_ms: perBlock.optional(),
  p90_ms: perBlock.optional(),
  repeats: index.optional(),
  /** Several blocks that ran as one. */
  runs: z.array(run).max(MAX_RUNS).optional(),
  /** Of each layer, so that their sum, corrected, is the time of a run; absent: those of blocks, by multiply-adds. */
  layer_ms: z.array(amount).max(MAX_LAYERS).optional(),
  /** Its own processor time for each message. */
  message_ms: amount.optional(),
  /** Until its executor has a part, and central hears that it ended. */
  part_ms: amount.optional(),
  /** To encode and decode 10^6 bytes of values, by codec. */
  codec_ms: z.record(z.string(), z.object({ encode: amount, decode: amount })).optional(),
  /** Another node of equal hardware, whose times these are. */
  measured_on: node.optional(),
  /** Parts of frames that it computed while it was measured, which make its times wrong. */
  busy: index.optional(),
  /** The node was not measured; the error (share) of the prediction. */
  predicted: z.object({ error: amount }).optional(),
  power_w: z.object({ idle: amount, busy: amount }).optional(),
});

/** The schema of a profile, as `tessera schema profile` prints it; `parseProfile` also checks what a schema cannot. */
export const profileSchema = z.object({
  /** Absent in the bare form, which has no layers. */
  format: z.literal('tessera-profile/1').optional(),
  model: z.string(),
  /** SHA-256 of the model's skeleton. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be a SHA-256 in lower-case hex')
    .optional(),
  input_bytes: amount,
  /** A frame as cameras publish it on their topics: its bytes, and the quality of its JPEG. */
  picture: z.object({ bytes: amount, quality: z.number().min(1).max(100).optional() }).optional(),
  /** Central's own work for a frame: until it is decoded, and from the network's outputs to the prediction. */
  frame: z.object({ open_ms: amount, finish_ms: amount }).optional(),
  /** The node where frames are born, the one that needs the outputs, and the one on whose machine the broker runs. */
  source: node,
  sink: node.optional(),
  broker: node.optional(),
  blocks: z.array(block).min(1).max(MAX_BLOCKS),
  layers: z.array(layer).min(1).max(MAX_LAYERS).optional(),
  nodes: z.array(profiledNode).min(1).max(MAX_NODES),
  links: z
    .array(z.object({ from: node, to: node, rtt_ms: amount, mbps: z.number().min(1e-6).max(1e9) }))
    .max(MAX_NODES ** 2),
  /** Time of a run over the sum of its layers' times, and the error (share) that is left. */
  correction: z.object({ ratio: z.number().min(1e-3).max(1e3), error: amount }).optional(),
});

/** What was measured of a model on some nodes and of the links between them. */
export type Profile = z.infer<typeof profileSchema>;
/** A node in a profile. */
export type ProfiledNode = Profile['nodes'][number];
