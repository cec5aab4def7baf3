import type { Model } from '../onnx/model.ts';
import type { DECODERS } from './card-schema.ts';
import type { BoxField, BoxForm } from './heads/box-readers.ts';
import { type PriorSet, priorCount } from './heads/priors.ts';

/** The kind of outputs that a network seems to have. `certain`: the file allows no other interpretation. */
export interface Head {
  readonly task: 'classify' | 'detect' | 'segment' | 'image' | 'raw';
  readonly decoder: (typeof DECODERS)[number];
  readonly tensors: readonly string[];
  readonly certain: boolean;
  /** Index of a background class, which is never predicted. */
  readonly background: number | null;
  /** Number of classes, the background included; undefined where the outputs do not tell. */
  readonly classCount: number | undefined;
  /** Further fields of the card's output. */
  readonly classes?: number;
  readonly boxes?: BoxForm;
  readonly priors?: PriorSet;
  readonly fields?: readonly BoxField[];
}

/** Rows and columns of the network's input, where they are known. */
interface InputSize {
  readonly channels: number;
  readonly height: number | undefined;
  readonly width: number | undefined;
}

type Dimension = number | string;

/** Outputs of unknown meaning. */
export const RAW_HEAD: Head = {
  task: 'raw',
  decoder: 'none',
  tensors: [],
  certain: false,
  background: null,
  classCount: undefined,
};

/** Operators that keep the meaning of values. */
const TRANSPARENT = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Identity', 'Cast', 'Transpose', 'Dropout']);

/** The operator that gives a tensor its meaning; reshapes are skipped. */
export function lastOperator(model: Model, tensor: string): string | undefined {
  const producers = new Map(model.graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  let node = producers.get(tensor);
  while (node !== undefined && TRANSPARENT.has(node.op)) node = producers.get(node.inputs[0] ?? '');
  return node?.op;
}

/** A shape without its batch axis where that is 1 or symbolic. */
function withoutBatch(shape: readonly Dimension[] | undefined): readonly Dimension[] {
  if (shape === undefined) return [];
  return typeof shape[0] === 'number' && shape[0] !== 1 ? shape : shape.slice(1);
}

function classHead(model: Model, name: string, classes: number): Head {
  const operator = lastOperator(model, name);
  const probabilities = operator === 'Softmax' || operator === 'Sigmoid';
  return {
    task: 'classify',
    decoder: probabilities ? 'softmax' : 'logits',
    tensors: [],
    certain: probabilities,
    // ImageNet with a class for "nothing" in front has 1001.
    background: classes === 1001 ? 0 : null,
    classCount: classes === 1 ? 2 : classes,
  };
}

function mapHead(channels: Dimension, input: InputSize, sameSize: boolean): Head {
  if (channels === input.channels) return { ...RAW_HEAD, task: 'image' };
  if (sameSize && typeof channels === 'number') return { ...RAW_HEAD, task: 'segment' };
  return RAW_HEAD;
}

/** Detectors with boxes [1, n, 4] and scores as separate outputs. */
function boxesHead(
  outputs: readonly { name: string; axes: readonly Dimension[] }[],
  { width, height }: InputSize,
): Head | undefined {
  const boxes = outputs.find(({ axes }) => axes.at(-1) === 4 && axes.length === 2);
  if (boxes === undefined || outputs.length < 2) return undefined;
  const faces = outputs.find(({ axes }) => axes.length === 2 && axes[0] === boxes.axes[0] && axes[1] === 2);
  const isSized = width !== undefined && height !== undefined;
  if (faces !== undefined && isSized && boxes.axes[0] === priorCount('retinaface', { width, height }))
    return { ...RAW_HEAD, task: 'detect', decoder: 'retinaface', tensors: [boxes.name, faces.name] };
  if (faces !== undefined && outputs.length === 2)
    return { ...RAW_HEAD, task: 'detect', decoder: 'ultraface', tensors: [faces.name, boxes.name] };
  return { ...RAW_HEAD, task: 'detect', decoder: 'ssd' };
}

/**
 * FastestDet: one map of 5 + classes planes at a sixteenth of the input. The file's name, or COCO's 85 planes, tells it
 * from other maps.
 */
function isFastestdet(axes: readonly Dimension[], input: InputSize, fileName: string): boolean {
  const [planes, rows, columns] = axes;
  if (typeof planes !== 'number' || planes < 6 || input.height === undefined || input.width === undefined) return false;
  const sixteenth = rows === input.height / 16 && columns === input.width / 16;
  return sixteenth && (planes === 85 || /fastest-?_?det/i.test(fileName));
}

function isYolo(axes: readonly Dimension[]): boolean {
  const [a, b] = axes;
  if (axes.length !== 2 || typeof a !== 'number' || typeof b !== 'number') return false;
  return Math.min(a, b) >= 5 && Math.max(a, b) >= 100;
}

/** Guesses task and decoder from the graph's outputs. */
export function guessHead(model: Model, input: InputSize, channelsLast: boolean, fileName: string): Head {
  const outputs = model.graph.outputs.map(({ name, shape }) => ({ name, axes: withoutBatch(shape) }));
  const [first] = outputs;
  if (first === undefined || first.axes.length === 0) return RAW_HEAD;
  const { axes } = first;
  if (outputs.length === 1) {
    const sizes = axes.filter((size) => size !== 1);
    const classes = sizes[0] ?? 1;
    if (sizes.length <= 1 && typeof classes === 'number') return classHead(model, first.name, classes);
    if (isYolo(axes)) return { ...RAW_HEAD, task: 'detect', decoder: 'yolo' };
    if (axes.length === 3) {
      const [channels, rows, columns] = (channelsLast ? [axes[2], axes[0], axes[1]] : axes) as [
        Dimension,
        Dimension,
        Dimension,
      ];
      if (isFastestdet([channels, rows, columns], input, fileName))
        return { ...RAW_HEAD, task: 'detect', decoder: 'fastestdet' };
      return mapHead(channels, input, rows === input.height && columns === input.width);
    }
    // Class numbers per pixel, [1, rows, columns].
    if (axes.length === 2 && axes[0] === input.height && axes[1] === input.width)
      return { ...RAW_HEAD, task: 'segment' };
    return RAW_HEAD;
  }
  return boxesHead(outputs, input) ?? RAW_HEAD;
}
