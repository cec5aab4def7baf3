import { z } from '../../schema.ts';
import { bytes, dtype, shape, text } from './fields.ts';

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
  /** The trace context of whoever publishes it (W3C), where the broker has no MQTT 5 to carry it. */
  traceparent: text.optional(),
  /** True: the model's outputs are published too, on `<base>/result/<camera>/<model>/tensor`. */
  tensors: z.boolean().optional(),
});
/** A frame in a CBOR envelope. */
export type FrameEnvelope = z.infer<typeof frameEnvelope>;
