import type { Model } from '../onnx/model.ts';
import type { Head } from './guess-head.ts';

/** The pixel preprocessing of a network, in the keys of model.yaml. `certain`: the file itself states it. */
export interface PixelFormat {
  readonly color: 'rgb' | 'bgr' | 'gray' | 'y';
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly certain: boolean;
}

const IMAGENET = { scale: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const PLAIN = { scale: 255, mean: [], std: [] };
const MINUS_ONE_TO_ONE = { scale: 127.5, mean: [1], std: [] };
const BYTES = { scale: 1, mean: [], std: [] };
const NANODET = { scale: 1, mean: [103.53, 116.28, 123.675], std: [57.375, 57.12, 58.395] };

/** Common preprocessing of three-channel inputs. */
export const COMMON_PIXEL_FORMATS: readonly Omit<PixelFormat, 'color' | 'certain'>[] = [
  IMAGENET,
  PLAIN,
  MINUS_ONE_TO_ONE,
  BYTES,
];

/**
 * Root mean square of the first layer's output for pixels of 0 to 255, below which a network expects such pixels. With
 * the right preprocessing a layer's outputs are about 1; networks for pixels of 0 to 1 gave 48 to 770 here.
 */
const WEAK_FOR_BYTES = 10;
const STRONG_FOR_BYTES = 40;
/** Caffe's networks: BGR, ImageNet's mean subtracted, not scaled. */
const CAFFE = { scale: 1, mean: [104, 117, 123], std: [] };

/**
 * Preprocessing from ONNX's own image metadata (docs/MetadataProps.md: Image.BitmapPixelFormat,
 * Image.NominalPixelRange).
 */
function fromMetadata(metadata: ReadonlyMap<string, string>): PixelFormat | undefined {
  const format = metadata.get('Image.BitmapPixelFormat')?.toLowerCase();
  const range = metadata.get('Image.NominalPixelRange')?.toLowerCase();
  if (format === undefined || range === undefined) return undefined;
  const color = format.startsWith('gray') ? 'gray' : format.startsWith('bgr') ? 'bgr' : 'rgb';
  const form = range.includes('0_255') ? BYTES : range.includes('1_1') ? MINUS_ONE_TO_ONE : PLAIN;
  return { color, ...form, certain: true };
}

/**
 * The preprocessing that a network was most likely trained with, from the program that wrote the file and from the
 * network's behaviour. It recognises well known families only, and is a guess unless the metadata states it.
 * `firstLayer`: root mean square of the first layer's output for pixels of 0 to 255, where a trial run measured it.
 */
export function guessPixels(model: Model, head: Head, channels: number, firstLayer?: number): PixelFormat {
  const said = fromMetadata(model.metadata);
  if (said !== undefined) return said;
  const input = model.graph.inputs[0]!;
  const certain = false;
  if (/cntk/i.test(model.producer)) return { color: channels === 1 ? 'gray' : 'rgb', ...BYTES, certain };
  if (channels === 1) return { color: head.task === 'image' ? 'y' : 'gray', ...PLAIN, certain };
  if (input.dtype === 'uint8') return { color: 'rgb', ...BYTES, certain };
  if (head.decoder === 'nanodet') return { color: 'bgr', ...NANODET, certain };
  // Until version 0.1.1 YOLOX was trained with ImageNet's preprocessing, since then on bytes.
  const isStrong = firstLayer !== undefined && firstLayer > STRONG_FOR_BYTES;
  if (head.decoder === 'yolox')
    return isStrong ? { color: 'rgb', ...IMAGENET, certain } : { color: 'bgr', ...BYTES, certain };
  if (head.decoder === 'retinaface') return { color: 'bgr', ...CAFFE, certain };
  if (firstLayer !== undefined && firstLayer < WEAK_FOR_BYTES) return { color: 'rgb', ...BYTES, certain };
  if (head.decoder === 'fastestdet') return { color: 'bgr', ...PLAIN, certain };
  if (head.decoder === 'ultraface') return { color: 'rgb', scale: 1, mean: [127], std: [128], certain };
  if (/^(yolo|end2end)/.test(head.decoder) || head.task === 'image') return { color: 'rgb', ...PLAIN, certain };
  if (/caffe/i.test(model.producer) || /(^|\/)data_0$/.test(input.name)) return { color: 'bgr', ...CAFFE, certain };
  if (/tf2onnx|keras|tfl|tensorflow/i.test(model.producer)) return { color: 'rgb', ...MINUS_ONE_TO_ONE, certain };
  return { color: 'rgb', ...IMAGENET, certain };
}

/**
 * Whether a detector's pixel preprocessing is known from its family, its input type, its metadata or its first layer.
 */
export function isPixelFormatKnown(model: Model, head: Head, firstLayer: number | undefined): boolean {
  if (head.decoder !== 'ssd' && head.fields?.[1] !== 'class') return true;
  const isWeak = firstLayer !== undefined && firstLayer < WEAK_FOR_BYTES;
  return isWeak || fromMetadata(model.metadata) !== undefined || model.graph.inputs[0]?.dtype === 'uint8';
}
