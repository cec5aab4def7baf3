import { describe, expect, test } from 'vitest';
import { isConv, modelTotals, nodeMacs } from '../../../shared/onnx/cost.ts';
import { describeModel } from '../../../shared/onnx/describe.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { node, type PlainAttribute, sketch, weights } from './build.ts';
import { missing, network } from './networks.ts';

function macsOf(
  op: string,
  dims: readonly number[],
  shape: readonly number[],
  attributes: Readonly<Record<string, PlainAttribute>> = {},
) {
  const nodes = [node(op, ['x', 'w'], ['y'], attributes)];
  const resolved = resolveModel(
    sketch({ nodes, inputs: { x: shape }, outputs: ['y'], constants: [weights('w', dims)] }),
  );
  return nodeMacs(resolved, resolved.model.graph.nodes[0]!);
}

test('multiply-adds of products, which schedules and predictions are based on', () => {
  expect(macsOf('Conv', [8, 3, 3, 3], [1, 3, 10, 10])).toBe(8 * 8 * 8 * 27);
  expect(macsOf('Conv', [6, 1, 3, 3], [1, 6, 5, 5], { group: 6 })).toBe(3 * 3 * 6 * 9);
  expect(macsOf('ConvTranspose', [3, 8, 2, 2], [1, 3, 4, 4], { strides: [2, 2] })).toBe(4 * 4 * 3 * 8 * 4);
  expect(macsOf('Gemm', [5, 7], [2, 5])).toBe(2 * 5 * 7);
  expect(macsOf('Gemm', [7, 5], [5, 2], { transA: 1, transB: 1 })).toBe(2 * 5 * 7);
  expect(macsOf('MatMul', [3, 5, 7], [3, 2, 5])).toBe(3 * 2 * 5 * 7);
  expect(macsOf('Add', [1], [1, 5])).toBe(0);
});

test('convolutions are distinguished from other operators', () => {
  const ops = ['Conv', 'ConvTranspose', 'QLinearConv', 'ConvInteger', 'FusedConv', 'Gemm', 'MaxPool', 'Convolution'];
  expect(ops.filter((op) => isConv(node(op, [], [])))).toEqual(ops.slice(0, 5));
});

/** Published figures: VGG-19 19.6 G, ResNet-50 4.1 G (stride on the 3x3), DenseNet-121 2.8 G multiply-adds. */
describe('totals of known architectures', () => {
  test.each([
    ['topologies/light_vgg19.onnx', 19.63e9, 143.67e6],
    ['topologies/light_resnet50.onnx', 4.09e9, 25.6e6],
    ['topologies/light_densenet121.onnx', 2.83e9, 8.06e6],
    ['mobilenet_v2.onnx', 0.3e9, 3.5e6],
  ])('%s', (name, macs, params) => {
    if (missing(name)) return;
    const resolved = network(name);
    const totals = modelTotals(resolved);
    expect(totals.macs / macs).toBeCloseTo(1, 1);
    if (!name.startsWith('topologies')) expect(totals.params / params).toBeCloseTo(1, 1);
    const description = describeModel(resolved);
    expect(description.layers.reduce((sum, layer) => sum + layer.macs, 0)).toBe(totals.macs);
    expect(JSON.parse(JSON.stringify(description)).layers.length).toBe(resolved.model.graph.nodes.length);
  });
});
