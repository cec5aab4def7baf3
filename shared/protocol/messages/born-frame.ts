import { z } from '../../schema.ts';
import { isFrameId, isName } from '../topics.ts';
import { sourceReport } from './camera.ts';
import { bytes, count, imageId, text } from './fields.ts';

const v = z.literal(1);
const about = {
  v,
  camera: z.string().refine(isName, "expected a camera's name"),
  frame: z.string().refine(isFrameId, 'expected a frame id'),
};
const format = z.enum(['jpeg', 'png']);

/**
 * `frame`, from a node to central: a frame was born at the node. `announced`: it is there, without pixels (`repeated`:
 * again, as no answer came). `opened`: it was decoded and is held as the input of the plan's network. `file`: the picture,
 * as central asked. `failed`: neither can be done. `source`: what the source of a camera at the node is doing.
 */
export const bornFrameMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('announced'),
    ...about,
    /** Unix seconds. */
    time: z.number().nonnegative(),
    format,
    bytes: count,
    /** Of the picture after EXIF turning, in pixels. */
    width: count.min(1).max(65_535),
    height: count.min(1).max(65_535),
    repeated: z.boolean().optional(),
  }),
  z.object({ type: z.literal('opened'), v, i_id: imageId }),
  z.object({ type: z.literal('file'), v, i_id: imageId, format, d: bytes }),
  z.object({ type: z.literal('failed'), v, i_id: imageId, code: text, text }),
  z.object({ type: z.literal('source'), v, camera: about.camera, report: sourceReport }),
]);
/** A message of a node about a frame that was born there. */
export type BornFrameMessage = z.infer<typeof bornFrameMessage>;
/** A frame that was born at a node, without its pixels. */
export type FrameAnnounced = Extract<BornFrameMessage, { type: 'announced' }>;

/**
 * `frame`, from central to the node: `kept`: central has the announcement, and the node keeps the frame. `done`: the
 * frame needs no new `i_id` any more. `open`: hold it as the input of the plan's network, under this `i_id`. `take`: send
 * the picture. What was opened is kept until `free`.
 */
export const bornFrameOrder = z.discriminatedUnion('type', [
  z.object({ type: z.literal('kept'), ...about }),
  z.object({ type: z.literal('done'), ...about }),
  z.object({ type: z.literal('open'), ...about, i_id: imageId, plan: text }),
  z.object({ type: z.literal('take'), ...about, i_id: imageId }),
  z.object({ type: z.literal('free'), v, i_id: imageId }),
]);
/** An order of central about a frame that was born at a node. */
export type BornFrameOrder = z.infer<typeof bornFrameOrder>;
