import { z } from '../../schema.ts';
import { count, text } from './fields.ts';
import { OUTCOMES } from './result.ts';

/** What a span of a frame's time was for; `lost`: no answer came. */
export const SPAN_KINDS = ['wait', 'decode', 'travel', 'compute', 'paste', 'tail', 'lost'] as const;

/** A span of a frame's time, in ms since the frame was offered. */
export const frameSpan = z.object({
  kind: z.enum(SPAN_KINDS),
  /** The node that was at work, or to or from which something travelled. */
  node: text,
  /** The message with parts of a stage that it belongs to; null for the frame's own steps at central. */
  message: z.object({ stage: count, attempt: count, parts: count }).nullable(),
  from_ms: z.number(),
  to_ms: z.number(),
});
/** A span of a frame's time. */
export type FrameSpan = z.infer<typeof frameSpan>;

/** One request for one part, in ms since the frame was offered. */
export const requestTrace = z.object({
  stage: count,
  t_id: count,
  node: text,
  attempt: count,
  sent_ms: z.number().nullable(),
  received_ms: z.number().nullable(),
  /** When its outputs were in central's tensors; null where they were not used, or stayed at the node. */
  pasted_ms: z.number().nullable(),
  compute_ms: z.number().nullable(),
  queue_ms: z.number().nullable(),
  bytes: count,
  hedged: z.boolean(),
  used: z.boolean(),
});

/** `tessera/trace/<camera>`, on request: where the time of a frame went. */
export const frameTrace = z.object({
  v: z.literal(1),
  id: text,
  frame: text,
  camera: text,
  model: text,
  plan: text.nullable(),
  status: z.enum(OUTCOMES),
  /** Unix seconds. */
  frame_time: z.number(),
  latency_ms: z.number(),
  /** The trace context that came with the frame (W3C). */
  traceparent: text.optional(),
  spans: z.array(frameSpan),
  trace: z.array(requestTrace),
});
/** Where the time of a frame went. */
export type FrameTrace = z.infer<typeof frameTrace>;
