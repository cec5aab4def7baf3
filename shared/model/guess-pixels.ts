import type { Model } from '../onnx/model.ts';
import type { Head } from './guess-head.ts';

/** How pixels become numbers, in the words of model.yaml. `certain`: the file itself says so. */
export interface PixelForm {
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
/** Caffe's networks: planes in the order of OpenCV, ImageNet's mean taken off, not scaled. */
const CAFFE = { scale: 1, mean: [104, 117, 123], std: [] };

/** What ONNX's own image metadata says (docs/MetadataProps.md: Image.BitmapPixelFormat, Image.NominalPixelRange). */
function fromMetadata(metadata: ReadonlyMap<string, string>): PixelForm | undefined {
  const format = metadata.get('Image.BitmapPixelFormat')?.toLowerCase();
  const range = metadata.get('Image.NominalPixelRange')?.toLowerCase();
  if (format === undefined || range === undefined) return undefined;
  const color = format.startsWith('gray') ? 'gray' : format.startsWith('bgr') ? 'bgr' : 'rgb';
  const form = range.includes('0_255') ? BYTES : range.includes('1_1') ? MINUS_ONE_TO_ONE : PLAIN;
  return { color, ...form, certain: true };
}

/**
 * The preparation that a network most likely was trained with, from what wrote the file and what it does. Only well
 * known families are told apart; everything from here is a guess unless the metadata says it.
 */
export function guessPixels(model: Model, head: Head, channels: number): PixelForm {
  const said = fromMetadata(model.metadata);
  if (said !== undefined) return said;
  const input = model.graph.inputs[0]!;
  const certain = false;
  if (/cntk/i.test(model.producer)) return { color: channels === 1 ? 'gray' : 'rgb', ...BYTES, certain };
  if (channels === 1) return { color: head.task === 'image' ? 'y' : 'gray', ...PLAIN, certain };
  if (input.dtype === 'uint8') return { color: 'rgb', ...BYTES, certain };
  if (head.decoder === 'fastestdet') return { color: 'bgr', ...PLAIN, certain };
  if (head.decoder === 'ultraface') return { color: 'rgb', scale: 1, mean: [127], std: [128], certain };
  if (head.decoder === 'yolo' || head.task === 'image') return { color: 'rgb', ...PLAIN, certain };
  if (/caffe/i.test(model.producer) || /(^|\/)data_0$/.test(input.name)) return { color: 'bgr', ...CAFFE, certain };
  if (/tf2onnx|keras|tfl|tensorflow/i.test(model.producer)) return { color: 'rgb', ...MINUS_ONE_TO_ONE, certain };
  return { color: 'rgb', ...IMAGENET, certain };
}
