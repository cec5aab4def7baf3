import { describe, expect, test } from 'vitest';
import { beforeSoftmax, seedWeights } from '../../../bench/harness/weights.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { constantTensor, numbersOf } from '../../../shared/onnx/values.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { ints, node, sketch, weights } from '../../shared/onnx/build.ts';
import { feedsOf, missing, networkBytes, run } from '../../shared/onnx/networks.ts';

const blank = (name: string, dims: readonly number[]) =>
  constantTensor(name, 'float32', dims, new Array<number>(dims.reduce((a, b) => a * b, 1)).fill(0.02));

const template = sketch({
  nodes: [
    node('ConstantOfShape', ['w_shape'], ['w']),
    node('Conv', ['x', 'w', 'b'], ['c'], { pads: [1, 1, 1, 1] }),
    node('BatchNormalization', ['c', 'scale', 'shift', 'mean', 'variance'], ['n']),
    node('Add', ['n', 'trained'], ['a']),
    node('Flatten', ['a'], ['f']),
    node('Gemm', ['f', 'dense'], ['logits']),
    node('Softmax', ['logits'], ['y']),
  ],
  inputs: { x: [1, 8, 4, 4] },
  outputs: ['y'],
  opset: 9,
  constants: [
    ints('w_shape', [64, 8, 3, 3]),
    blank('b', [64]),
    ...['scale', 'shift', 'mean', 'variance'].map((name) => blank(name, [64])),
    blank('dense', [1024, 10]),
    weights('trained', [64, 1, 1]),
  ],
});

describe('seeded weights', () => {
  const seeded = seedWeights(template, 7);
  const valuesOf = (name: string) => numbersOf(seeded.graph.initializers.get(name)!)!;
  const deviation = (values: readonly number[]) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);

  test('are He-normal for filters and matrices, and leave batch normalisation without effect', () => {
    expect(deviation(valuesOf('w')) / Math.sqrt(2 / 72)).toBeCloseTo(1, 1);
    expect(deviation(valuesOf('dense')) / Math.sqrt(2 / 1024)).toBeCloseTo(1, 1);
    expect(new Set(valuesOf('scale'))).toEqual(new Set([1]));
    expect(new Set(valuesOf('variance'))).toEqual(new Set([1]));
    expect(new Set(valuesOf('mean'))).toEqual(new Set([0]));
    expect(deviation(valuesOf('b'))).toBeLessThan(0.05);
  });

  test('replace placeholders only', () => {
    expect(seeded.graph.initializers.get('trained')).toBe(template.graph.initializers.get('trained'));
    expect(seeded.graph.nodes.map(({ op }) => op)).not.toContain('ConstantOfShape');
  });

  test('are the same for the same seed, so that two machines compare the same network', () => {
    expect(writeModel(seedWeights(template, 7))).toEqual(writeModel(seeded));
    expect(writeModel(seedWeights(template, 8))).not.toEqual(writeModel(seeded));
  });
});

test("an output of a final Softmax is replaced by the Softmax's input, others stay", () => {
  const model = beforeSoftmax(template);
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(['logits']);
  expect(model.graph.nodes.map(({ op }) => op)).not.toContain('Softmax');
  expect(beforeSoftmax(model)).toEqual(model);
});

for (const name of ['light_resnet50', 'light_densenet121', 'light_shufflenet', 'light_inception_v2'].map(
  (each) => `topologies/${each}.onnx`,
)) {
  test.skipIf(missing(name))(`${name} computes something with seeded weights ${missing(name) || ''}`, async () => {
    const resolved = resolveModel(beforeSoftmax(seedWeights(readModel(networkBytes(name)), 1)));
    const outputs = await run(writeModel(resolved.model), feedsOf(resolved, Math.sin));
    const values = [...(Object.values(outputs)[0]!.data as Float32Array)];
    expect(values.every(Number.isFinite)).toBe(true);
    expect(new Set(values).size).toBeGreaterThan(900);
  });
}
