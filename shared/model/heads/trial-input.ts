import { DTYPE_BYTES, type Dtype, type Tensor } from '../../tensor/tensor.ts';
import type { PixelFormat } from '../guess-pixels.ts';

/** A drawn picture, [height, width, 3], R, G, B. */
export interface TrialPicture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** Shape, type and channel order of a network's input. */
export interface TrialInput {
  readonly dtype: Dtype;
  readonly channels: number;
  readonly channelsLast: boolean;
}

/** Lightness of each pixel (BT.601). */
export function lumaOf({ rgb, width, height }: TrialPicture): Uint8Array {
  return Uint8Array.from(
    { length: width * height },
    (_, i) => 0.299 * rgb[3 * i]! + 0.587 * rgb[3 * i + 1]! + 0.114 * rgb[3 * i + 2]!,
  );
}

/**
 * The picture preprocessed in the given pixel format: `(pixel / scale - mean) / std`. Undefined for element types that
 * pictures do not have.
 */
export function trialTensor(picture: TrialPicture, input: TrialInput, form: PixelFormat): Tensor | undefined {
  const { width, height, rgb } = picture;
  const { channels, channelsLast, dtype } = input;
  const pixels = width * height;
  const values = new Float32Array(pixels * channels);
  const luma = channels === 1 ? lumaOf(picture) : undefined;
  for (let channel = 0; channel < channels; channel++) {
    const source = form.color === 'bgr' ? 2 - channel : channel;
    const mean = form.mean[form.mean.length === 1 ? 0 : channel] ?? 0;
    const std = form.std[form.std.length === 1 ? 0 : channel] ?? 1;
    for (let pixel = 0; pixel < pixels; pixel++) {
      const value = luma === undefined ? rgb[3 * pixel + source]! : luma[pixel]!;
      const at = channelsLast ? pixel * channels + channel : channel * pixels + pixel;
      values[at] = (value / form.scale - mean) / std;
    }
  }
  const shape = channelsLast ? [1, height, width, channels] : [1, channels, height, width];
  const data = bytesOf(values, dtype);
  return data === undefined ? undefined : { dtype, shape, data };
}

function bytesOf(values: Float32Array, dtype: Dtype): Uint8Array | undefined {
  if (dtype === 'float32') return new Uint8Array(values.buffer);
  if (dtype === 'float64') return new Uint8Array(Float64Array.from(values).buffer);
  if (dtype === 'uint8') return Uint8Array.from(values, (value) => Math.min(255, Math.max(0, Math.round(value))));
  if (dtype !== 'float16') return undefined;
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) halves[i] = halfOf(values[i]!);
  return new Uint8Array(halves.buffer, 0, halves.length * DTYPE_BYTES.float16);
}

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** The nearest IEEE 754 binary16 of a number within its range; tiny numbers become 0. */
function halfOf(value: number): number {
  single[0] = value;
  const whole = bits[0]!;
  const sign = (whole >>> 16) & 0x8000;
  const exponent = ((whole >>> 23) & 0xff) - 112;
  if (exponent <= 0) return sign;
  if (exponent >= 31) return sign | 0x7bff;
  return sign | ((exponent << 10) + (((whole & 0x7fffff) + 0x1000) >>> 13));
}
