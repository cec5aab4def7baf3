import { type ModelCard, pictureShape } from '../shared/model/card.ts';
import type { Size } from '../shared/model/picture-placement.ts';
import { decodeFrame } from '../shared/runtime/image.ts';
import { numbers } from '../shared/tensor/numbers.ts';
import type { Tensor } from '../shared/tensor/tensor.ts';

/** A picture that a network made, 8 bits a channel, [height, width, channels]. */
export interface OutputPicture extends Size {
  readonly pixels: Uint8Array;
  readonly channels: 1 | 3;
}

/** Scales output values to bytes by their range: 0 to 255, 0 to 1, or -1 to 1. */
function toBytes(values: ArrayLike<number>): (value: number) => number {
  let [least, most] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    least = Math.min(least, values[i]!);
    most = Math.max(most, values[i]!);
  }
  const [scale, offset] = most > 4 ? [1, 0] : least < -0.3 ? [127.5, 127.5] : [255, 0];
  return (value) => Math.min(255, Math.max(0, Math.round(value * scale + offset)));
}

/**
 * The pixels of an output [1, 1 or 3, h, w] (or channels last). A network for luma (`color: y`) gets its colours from
 * the picture that went in, scaled to the output's size. Undefined where the output is no picture.
 */
export async function colouredPixels(
  tensor: Tensor,
  card: ModelCard | undefined,
  frame: Uint8Array,
): Promise<OutputPicture | undefined> {
  const layout = card?.input.layout ?? 'nchw';
  const shape = tensor.shape[0] === 1 ? pictureShape(tensor.shape, layout) : undefined;
  if (shape === undefined || (shape.channels !== 1 && shape.channels !== 3)) return undefined;
  const { width, height, channels } = shape;
  const values = numbers(tensor);
  const byte = toBytes(values);
  const count = width * height;
  const at = (channel: number, pixel: number) =>
    byte(values[layout === 'nhwc' ? pixel * channels + channel : channel * count + pixel]!);
  if (channels === 3) {
    const order = card?.input.color === 'bgr' ? [2, 1, 0] : [0, 1, 2];
    const pixels = Uint8Array.from({ length: 3 * count }, (_, i) => at(order[i % 3]!, Math.floor(i / 3)));
    return { pixels, channels: 3, width, height };
  }
  const luma = Uint8Array.from({ length: count }, (_, pixel) => at(0, pixel));
  if (card?.input.color !== 'y') return { pixels: luma, channels: 1, width, height };
  const { resize, crop } = card.input;
  const { data } = await decodeFrame(frame, { width, height, color: 'rgb', resize, crop });
  const pixels = new Uint8Array(3 * count);
  for (let pixel = 0; pixel < count; pixel++) {
    const [r, g, b] = [data[3 * pixel]!, data[3 * pixel + 1]!, data[3 * pixel + 2]!];
    // Adding the change of luma to each colour keeps both chroma differences (JFIF's Y'CbCr is linear).
    const change = luma[pixel]! - (0.299 * r + 0.587 * g + 0.114 * b);
    [r, g, b].forEach((value, channel) => {
      pixels[3 * pixel + channel] = Math.min(255, Math.max(0, Math.round(value + change)));
    });
  }
  return { pixels, channels: 3, width, height };
}
