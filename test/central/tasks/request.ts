import type { DecodeRequest, FrameView } from '../../../central/tasks/decoder.ts';
import { parseCard } from '../../../shared/model/card.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';

/** A float32 tensor. */
export function floats(shape: readonly number[], values: ArrayLike<number>): Tensor {
  return { dtype: 'float32', shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

/** A float32 tensor whose elements a function gives by index. */
export function filled(shape: readonly number[], value: (index: number) => number): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return floats(
    shape,
    Array.from({ length: count }, (_, index) => value(index)),
  );
}

/** An int64 tensor. */
export function longs(shape: readonly number[], values: readonly number[]): Tensor {
  return { dtype: 'int64', shape, data: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) };
}

/**
 * A frame of 200x100 pixels that the network gets as 100x100: twice as wide, so that a missing coordinate mapping
 * shows.
 */
export const WIDE: FrameView = {
  sourceWidth: 200,
  sourceHeight: 100,
  mapping: { scaleX: 2, scaleY: 1, offsetX: 0, offsetY: 0 },
};

/** What a test sets of a request; the input is [1, 3, 100, 100] unless `input` says otherwise. */
export interface RequestSketch {
  readonly task: 'classify' | 'detect' | 'segment' | 'image' | 'raw';
  readonly output?: Record<string, unknown>;
  readonly input?: Record<string, unknown>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly labels?: readonly string[];
  readonly frame?: FrameView;
}

/** What a decoder gets. */
export function request({
  task,
  output = {},
  input = {},
  outputs,
  labels = [],
  frame = WIDE,
}: RequestSketch): DecodeRequest {
  const card = parseCard({ name: 'test', task, input: { shape: [1, 3, 100, 100], ...input }, output }, 'test');
  return { card, labels, frame, outputs: Object.entries(outputs).map(([name, tensor]) => ({ name, tensor })) };
}
