import { z } from '../../schema.ts';
import { text } from './fields.ts';

/** What a source is doing: on the wire from the node that reads it, and on its camera's topic. */
const report = {
  /** What is read: `rtsp`, `http`, `usb`, `rpicam`, `topic`, `synthetic`, `stdin` or `path`; never its address. */
  source: z.enum(['rtsp', 'http', 'usb', 'rpicam', 'topic', 'synthetic', 'stdin', 'path']),
  state: z.enum(['online', 'offline']),
  /** Why it is offline. */
  reason: text.optional(),
  /** Of the stream, as its program says. */
  codec: z.string().max(32).optional(),
  width: z.number().int().positive().optional(),
  height: z.number().int().positive().optional(),
  stream_fps: z.number().nonnegative().optional(),
  /** Pictures a second that came from it, and that went on as frames, in the last seconds. */
  source_fps: z.number().nonnegative(),
  frames_fps: z.number().nonnegative(),
  /** CPU of the program that decodes it, of one core; absent where there is none. */
  cpu_percent: z.number().nonnegative().optional(),
  /** Times that it was opened again. */
  restarts: z.number().int().nonnegative(),
  /** What makes it needlessly expensive. */
  warnings: z.array(text).max(8),
};

/** A report about a source. */
export const sourceReport = z.object(report);
/** A report about a source. */
export type SourceReport = z.infer<typeof sourceReport>;

/** `<base>/camera/<camera>/source`, retained: the last report, and the node that reads the source. */
export const cameraSource = z.object({ v: z.literal(1), node: z.string(), ...report });
/** The payload of `<base>/camera/<camera>/source`. */
export type CameraSource = z.infer<typeof cameraSource>;
