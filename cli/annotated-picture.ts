import { predictionsSvg } from '../shared/model/drawing.ts';
import type { Size } from '../shared/model/picture-placement.ts';
import type { Prediction } from '../shared/protocol/messages/result.ts';
import { decodeFrame, drawOver, pictureSize } from '../shared/runtime/image.ts';

/** Longest side of an annotated picture, pixels. */
const MAX_SIDE = 2048;

/** A picture in RGB that fits a screen, and how many times as large as the frame it is. */
export async function screenPicture(bytes: Uint8Array): Promise<Size & { rgb: Uint8Array; scale: number }> {
  const whole = await pictureSize(bytes);
  const scale = Math.min(1, MAX_SIDE / Math.max(whole.width, whole.height));
  const width = Math.max(1, Math.round(whole.width * scale));
  const height = Math.max(1, Math.round(whole.height * scale));
  const { data } = await decodeFrame(bytes, { width, height, color: 'rgb', resize: 'stretch', crop: 1 });
  return { rgb: data, width, height, scale };
}

/** A JPEG of a picture with its predictions drawn on it: boxes with labels, or labels alone. */
export async function annotatedPicture(bytes: Uint8Array, predictions: readonly Prediction[]): Promise<Uint8Array> {
  const { rgb, scale, ...size } = await screenPicture(bytes);
  return drawOver(rgb, size, predictionsSvg(size, scale, predictions));
}
