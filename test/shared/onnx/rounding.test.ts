import { expect, test } from 'vitest';
import type { GraphNode } from '../../../shared/onnx/model.ts';
import { roundingEffect } from '../../../shared/onnx/rounding.ts';

/** If a network with rounding steps counted as smooth, sound nodes with another processor would be excluded. */

const node = (op: string, attributes: [string, number][] = [], domain = ''): GraphNode => ({
  name: op,
  op,
  domain,
  inputs: ['x'],
  outputs: ['y'],
  attributes: new Map(attributes.map(([name, value]) => [name, { kind: 'int', value }])),
});
const of = (...nodes: GraphNode[]) => roundingEffect({ graph: { nodes, initializers: new Map() } as never });

test.each([
  ['smooth', [node('Conv'), node('Relu'), node('MaxPool'), node('Add'), node('Softmax')]],
  // It drops nothing except in training mode; treated as random, its results would never be audited.
  ['smooth', [node('Conv'), node('Dropout')]],
  ['smooth', [node('Cast', [['to', 1]]), node('Conv'), node('Cast', [['to', 10]])]],
  ['jumps', [node('Cast', [['to', 3]]), node('Conv')]],
  ['jumps', [node('QuantizeLinear'), node('Conv'), node('DequantizeLinear')]],
  ['jumps', [node('QLinearConv')]],
  ['jumps', [node('Conv'), node('ArgMax')]],
  ['jumps', [node('Conv'), node('NonMaxSuppression')]],
  ['jumps', [node('Whatever', [], 'com.microsoft')]],
  ['random', [node('Conv'), node('RandomNormalLike')]],
  ['random', [node('ArgMax'), node('Multinomial')]],
] as const)('%s', (expected, nodes) => {
  expect(of(...nodes)).toBe(expected);
});
