import type { Attribute, GraphNode, Initializer, Model, ValueInfo } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import type { Plan, Split } from '../../shared/plan/plan.ts';
import { crop, type Tensor, wholeBox } from '../../shared/tensor/tensor.ts';

const FLOAT = 1;

/** Numbers between -0.5 and 0.5 that are the same in every run (a linear congruential generator). */
export function numbers(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

function constant(name: string, dims: readonly number[], seed: number): Initializer {
  const count = dims.reduce((product, size) => product * size, 1);
  const bytes = new Uint8Array(numbers(count, seed).buffer);
  return { name, dtype: 'float32', elementType: FLOAT, dims, data: { kind: 'inline', bytes } };
}

function node(
  op: string,
  inputs: readonly string[],
  output: string,
  ints: Record<string, readonly number[]>,
): GraphNode {
  const attributes = new Map<string, Attribute>(
    Object.entries(ints).map(([name, value]) => [name, { kind: 'ints', value }]),
  );
  return { name: output, op, domain: '', inputs, outputs: [output], attributes };
}

function port(name: string, shape: readonly number[]): ValueInfo {
  return valueInfo(name, { dtype: 'float32', shape });
}

/** The width and height of the tiny network's input. */
export const TINY_SIDE = 16;

/**
 * x [1, 3, 16, 16] -> conv 3x3 -> relu `a` -> max-pool 2x2 `p` -> conv 3x3 -> relu y [1, 8, 8, 8], with all shapes
 * known. Weights of both convolutions are large enough to become blobs.
 */
export function tinyNetwork(): Model {
  const conv = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
  const weights = [constant('w1', [16, 3, 3, 3], 1), constant('w2', [8, 16, 3, 3], 2), constant('b1', [16], 3)];
  const model = newModel({
    producer: 'tessera-test',
    name: 'tiny',
    nodes: [
      node('Conv', ['x', 'w1', 'b1'], 'c1', conv),
      node('Relu', ['c1'], 'a', {}),
      node('MaxPool', ['a'], 'p', { kernel_shape: [2, 2], strides: [2, 2] }),
      node('Conv', ['p', 'w2'], 'c2', conv),
      node('Relu', ['c2'], 'y', {}),
    ],
    initializers: new Map(weights.map((weight) => [weight.name, weight])),
    inputs: [port('x', [1, 3, TINY_SIDE, TINY_SIDE])],
    outputs: [port('y', [1, 8, TINY_SIDE / 2, TINY_SIDE / 2])],
  });
  return resolveModel(model).model;
}

/** A frame for the tiny network. */
export function tinyInput(seed = 7): Tensor {
  const shape = [1, 3, TINY_SIDE, TINY_SIDE];
  return { dtype: 'float32', shape, data: new Uint8Array(numbers(3 * TINY_SIDE * TINY_SIDE, seed).buffer) };
}

/** x [1, 1, 96, 96] -> four 3x3 convolutions with 64 channels -> y [1, 64, 96, 96]: about a gigamac, to be caught at work. */
export function heavyNetwork(): Model {
  const attributes = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
  const names = ['x', 'h1', 'h2', 'h3', 'y'];
  const weights = [1, 64, 64, 64].map((channels, i) => constant(`w${i}`, [64, channels, 3, 3], i));
  const model = newModel({
    producer: 'tessera-test',
    name: 'heavy',
    nodes: weights.map((weight, i) => node('Conv', [names[i]!, weight.name], names[i + 1]!, attributes)),
    initializers: new Map(weights.map((weight) => [weight.name, weight])),
    inputs: [port('x', [1, 1, 96, 96])],
    outputs: [port('y', [1, 64, 96, 96])],
  });
  return resolveModel(model).model;
}

/** A frame for the heavy network. */
export function heavyInput(): Tensor {
  return { dtype: 'float32', shape: [1, 1, 96, 96], data: new Uint8Array(numbers(96 * 96, 5).buffer) };
}

/**
 * A classifier with two exits: x [1, 3, 16, 16] -> conv -> relu -> max-pool `p` [1, 16, 8, 8] -> conv -> relu ->
 * max-pool `q` [1, 8, 4, 4] -> conv -> relu -> global average pool -> Gemm -> logits y [1, 4]; the exits `early` and
 * `late` [1, 4] are a global average pool and a product of `p` and of `q`. No product has a bias: the brighter a frame,
 * the higher the confidence.
 */
export function exitNetwork(): Model {
  const conv = { kernel_shape: [3, 3], pads: [1, 1, 1, 1], strides: [1, 1] };
  const pool = { kernel_shape: [2, 2], strides: [2, 2] };
  const weights = [
    constant('w1', [16, 3, 3, 3], 1),
    constant('w2', [8, 16, 3, 3], 2),
    constant('w3', [8, 8, 3, 3], 3),
    constant('h1', [16, 4], 4),
    constant('h2', [8, 4], 5),
    constant('h3', [8, 4], 6),
  ];
  const head = (from: string, weight: string, to: string) => [
    node('GlobalAveragePool', [from], `${to}-pooled`, {}),
    node('Flatten', [`${to}-pooled`], `${to}-flat`, {}),
    node('Gemm', [`${to}-flat`, weight], to, {}),
  ];
  const model = newModel({
    producer: 'tessera-test',
    name: 'exits',
    nodes: [
      node('Conv', ['x', 'w1'], 'c1', conv),
      node('Relu', ['c1'], 'a', {}),
      node('MaxPool', ['a'], 'p', pool),
      ...head('p', 'h1', 'early'),
      node('Conv', ['p', 'w2'], 'c2', conv),
      node('Relu', ['c2'], 'b', {}),
      node('MaxPool', ['b'], 'q', pool),
      ...head('q', 'h2', 'late'),
      node('Conv', ['q', 'w3'], 'c3', conv),
      node('Relu', ['c3'], 'd', {}),
      ...head('d', 'h3', 'y'),
    ],
    initializers: new Map(weights.map((weight) => [weight.name, weight])),
    inputs: [port('x', [1, 3, TINY_SIDE, TINY_SIDE])],
    outputs: ['early', 'late', 'y'].map((name) => port(name, [1, 4])),
  });
  return resolveModel(model).model;
}

/** A plan with one stage over the whole tiny network; `split` in rows and columns of `y`. */
export function tinyPlan(skeletonSha: string, split: Split, id = 'p-00000001'): Plan {
  return {
    format: 'tessera-plan/1',
    id,
    model: skeletonSha,
    source: 'central',
    strategy: 'test',
    reason: 'test',
    stages: [
      {
        id: 0,
        inputs: ['x'],
        outputs: ['y'],
        split,
        on: { mode: 'share', nodes: '*' },
        fallback: 'central',
        codec: {},
      },
    ],
    predicted: null,
  };
}

/** A region of a tensor as a work message carries it. */
export function wireRegion(tensor: string, whole: Tensor, box = wholeBox(whole.shape)) {
  return {
    tensor,
    box: box.map(([start, end]): [number, number] => [start, end]),
    dtype: whole.dtype,
    shape: box.map(([start, end]) => end - start),
    codec: { name: 'raw' as const },
    d: crop(whole, box),
  };
}
