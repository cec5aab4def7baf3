import { z } from '../../schema.ts';
import { count, text } from './fields.ts';
import { region } from './region.ts';

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
  'switched-off',
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

/** One prediction; `box` is x1, y1, x2, y2 in pixels of the received frame after EXIF rotation. */
export const prediction = z.object({
  label: text,
  score: z.number(),
  box: z.tuple([z.number(), z.number(), z.number(), z.number()]).optional(),
});
/** One prediction. */
export type Prediction = z.infer<typeof prediction>;

/** `tessera/result/<camera>/<model>`: the result of an accepted frame. */
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
  /** Index in `exits` of model.yaml of the exit at which the frame ended. */
  exit: z.number().nullable(),
  plan: text.nullable(),
  nodes: z.array(text),
  /** Encoded tensor bytes sent to nodes and received from them for this frame, and tiles computed by each node. */
  bytes_up: count,
  bytes_down: count,
  /** Encoded tensor bytes that nodes sent to other nodes for this frame; absent: none. */
  bytes_between: count.optional(),
  tiles_per_node: z.record(z.string(), count),
  /** The trace context that came with the frame (W3C); absent: none did. */
  traceparent: text.optional(),
  /** Number of sections of the picture that were frames of their own; absent: it was seen whole. */
  sections: count.optional(),
  /** Present where central computed stages that the plan assigns to nodes. */
  fallback: z.object({ reason: z.enum(FALLBACK_REASONS), text }).optional(),
  error: z.object({ code: text, message: text, hint: text.optional() }).optional(),
});
/** The result of an accepted frame. */
export type ResultObject = z.infer<typeof resultObject>;

/** `tessera/result/<camera>/<model>/tensor` (CBOR), on request: the model's outputs for one frame. */
export const outputsMessage = z.object({ v: z.literal(1), id: text, frame: text, outputs: z.array(region) });
/** The model's outputs for one frame. */
export type OutputsMessage = z.infer<typeof outputsMessage>;
