import { expect, test } from 'vitest';
import { cutPoints } from '../../../shared/onnx/cuts.ts';
import { dagOf } from '../../../shared/onnx/dag.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { node, sketch, weights } from './build.ts';

/** A cut that forgets a live tensor makes a plan that no node can run; one that sends too many wastes the link. */

/** x -> stem -> two branches -> sum -> dense -> dense -> y, and the stem's mean as a second output. */
const resolved = resolveModel(
  sketch({
    nodes: [
      node('Conv', ['x', 'w1'], ['stem']),
      node('Relu', ['stem'], ['left']),
      node('Mul', ['stem', 'scale'], ['right']),
      node('GlobalAveragePool', ['stem'], ['mean']),
      node('Add', ['left', 'right'], ['sum']),
      node('Flatten', ['sum'], ['flat']),
      node('MatMul', ['flat', 'w2'], ['dense']),
      node('MatMul', ['dense', 'w3'], ['y']),
    ],
    inputs: { x: [1, 2, 4, 4] },
    outputs: ['mean', 'y'],
    constants: [weights('w1', [4, 2, 1, 1]), weights('scale', [1]), weights('w2', [64, 8]), weights('w3', [8, 3])],
  }),
);
const dag = dagOf(resolved);
const named = (nodes: Iterable<number>): string[] => [...nodes].sort().map((index) => dag.nodes[index]!.outputs[0]!);

test('every set of live tensors is a cut point, also behind the first dense layer', () => {
  expect(cutPoints(resolved).map(({ tensors, outputs }) => [tensors, outputs])).toEqual([
    [['stem'], []],
    [['stem', 'left'], []],
    [['stem', 'left', 'right'], []],
    [['left', 'right'], ['mean']],
    [['sum'], ['mean']],
    [['flat'], ['mean']],
    [['dense'], ['mean']],
  ]);
});

test('the live tensors of what is known are those that the rest reads', () => {
  expect(dag.live(['x', 'stem'])).toEqual(['stem']);
  expect(dag.live(['x', 'stem', 'left', 'right', 'mean'])).toEqual(['left', 'right']);
  expect(dag.live(['x'])).toEqual(['x']);
});

test('what makes a tensor, what a set hands on, and what depends on a node', () => {
  expect(named(dag.between(['stem'], ['sum']))).toEqual(['left', 'right', 'sum']);
  expect(dag.boundary(dag.between(['x'], ['left', 'mean']))).toEqual(['stem', 'left', 'mean']);
  expect(named(dag.dependants(1, new Set([0, 1, 2, 4])))).toEqual(['left', 'sum']);
  expect(() => dag.between(['left'], ['sum'])).toThrow(/needs the model's input "x"/);
  expect(() => dag.between(['x'], ['ghost'])).toThrow(/no tensor "ghost"/);
});
