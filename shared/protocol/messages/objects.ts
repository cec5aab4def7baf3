import { z } from '../../schema.ts';
import { text } from './fields.ts';

/** An object that is followed from frame to frame; of a classifier, a label that several results agree on. */
export const trackedObject = z.object({
  /** Unique; it stays the same for as long as the object is followed. */
  id: text,
  camera: text,
  model: text,
  label: text,
  /** Of its last detection, and the best so far. */
  score: z.number(),
  top_score: z.number(),
  /** The frame of its last detection, and that frame's time; Unix seconds, as all times. */
  frame: text,
  frame_time: z.number(),
  start_time: z.number(),
  /** Null while the object is followed. */
  end_time: z.number().nullable(),
  /** x1, y1, x2, y2 in pixels of the frame, its square pixels, and its width / height; null of a classifier. */
  box: z.tuple([z.number(), z.number(), z.number(), z.number()]).nullable(),
  area: z.number().nullable(),
  ratio: z.number().nullable(),
  /** Whether a snapshot of it was published. */
  has_snapshot: z.boolean(),
});
/** An object that is followed from frame to frame. */
export type TrackedObject = z.infer<typeof trackedObject>;

/** Kinds of events of an object. */
export const OBJECT_EVENTS = ['new', 'update', 'end'] as const;

/** `<base>/event/camera/<camera>`: what happened to an object; `before` is what the last event said of it. */
export const objectEvent = z.object({
  v: z.literal(1),
  type: z.enum(OBJECT_EVENTS),
  before: trackedObject,
  after: trackedObject,
});
/** What happened to an object. */
export type ObjectEvent = z.infer<typeof objectEvent>;
