import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { modelTotals } from '../../../shared/onnx/cost.ts';
import { inferLayout } from '../../../shared/tiling/infer-layout.ts';
import { explicitCut, longestPrefix } from '../../../shared/tiling/prefix.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { expectLossless, Network, stageOf } from './network.ts';

const pads = [1, 1, 1, 1];

/** conv -> pool -> residual -> pool -> global pool -> classifier; returns the names of its maps. */
function classifier() {
  const net = new Network();
  const x = net.input([1, 3, 32, 32]);
  const a = net.op('MaxPool', [net.conv(x, 3, 4, [3, 3], { pads })], { kernel_shape: [2, 2], strides: [2, 2] });
  const inner = net.conv(a, 4, 4, [3, 3], { pads });
  const b = net.op('Add', [net.conv(inner, 4, 4, [3, 3], { pads }), a]);
  const c = net.op('MaxPool', [b], { kernel_shape: [4, 4], strides: [4, 4] });
  const flat = net.op('Flatten', [net.op('GlobalAveragePool', [c])]);
  const y = net.op('Gemm', [flat, net.weight(4, 10)]);
  return { resolved: net.resolve(y), a, inner, b, c };
}

/** Common decoders whose enlargements and borders depend on the map's edge; each ends in a global average. */
const DECODERS: [string, (net: Network, x: string) => string][] = [
  [
    'a U-Net that aligns corners',
    (net, x) => {
      const fine = net.op('Relu', [net.conv(x, 3, 4, [3, 3], { pads })]);
      const down = net.op('MaxPool', [fine], { kernel_shape: [2, 2], strides: [2, 2] });
      const up = net.op('Resize', [net.conv(down, 4, 4, [3, 3], { pads }), '', '', net.ints(1, 4, 45, 37)], {
        mode: 'linear',
        coordinate_transformation_mode: 'align_corners',
      });
      return net.conv(net.op('Concat', [fine, up], { axis: 1 }), 8, 4, [3, 3], { pads });
    },
  ],
  [
    'a feature pyramid on odd sizes',
    (net, x) => {
      const c3 = net.conv(x, 3, 4, [3, 3], { pads, strides: [2, 2] });
      const c4 = net.conv(c3, 4, 4, [3, 3], { pads, strides: [2, 2] });
      const up = net.op('Resize', [c4, '', '', net.ints(1, 4, 23, 19)], {
        mode: 'nearest',
        coordinate_transformation_mode: 'asymmetric',
        nearest_mode: 'floor',
      });
      return net.conv(net.op('Add', [net.conv(c3, 4, 4, [1, 1]), up]), 4, 4, [3, 3], { pads });
    },
  ],
  [
    'mirrored borders (style transfer)',
    (net, x) => {
      const mirror = (y: string, n: number) =>
        net.op('Pad', [y, net.ints(0, 0, n, n, 0, 0, n, n)], { mode: 'reflect' });
      const first = net.op('Relu', [net.conv(mirror(x, 4), 3, 4, [9, 9])]);
      return net.op('Add', [first, net.conv(mirror(first, 1), 4, 4, [3, 3])]);
    },
  ],
];

describe('the longest prefix', () => {
  test.each(DECODERS)('contains every convolution of %s, losslessly', async (_, decoder) => {
    const net = new Network();
    const features = decoder(net, net.input([1, 3, 45, 37]));
    const resolved = net.resolve(net.op('GlobalAveragePool', [features]));
    const prefix = longestPrefix(resolved, ['x0'], { rows: 3, cols: 2 });
    expect(prefix.convMacs).toBe(modelTotals(resolved).convMacs);
    await expectLossless(resolved, prefix.outputs);
  });

  test('ends before the operator that needs the whole map, with all convolutions', () => {
    const { resolved, c } = classifier();
    const prefix = longestPrefix(resolved, ['x0'], { rows: 2, cols: 2 });
    expect(prefix.outputs).toEqual([c]);
    expect(prefix.reference).toEqual({ tensor: c, rows: 4, cols: 4 });
    expect(prefix.stops.map(({ op, reason }) => `${op} ${reason}`)).toEqual(['GlobalAveragePool needs the whole map']);
    expect(prefix.convMacs).toBe(32 * 32 * 4 * 27 + 2 * 16 * 16 * 4 * 36);
  });

  test('ends earlier, at larger maps, where the grid has more tiles than cells', () => {
    const { resolved, b } = classifier();
    expect(longestPrefix(resolved, ['x0'], { rows: 5, cols: 1 }).outputs).toEqual([b]);
    expect(longestPrefix(resolved, ['x0'], { rows: 40, cols: 1 }).outputs).toEqual([]);
  });

  test('has an output at every stride where branches leave (detection heads)', async () => {
    const net = new Network();
    const x = net.input([1, 3, 32, 32]);
    const fine = net.conv(x, 3, 4, [3, 3], { pads, strides: [4, 4] });
    const coarse = net.conv(fine, 4, 4, [3, 3], { pads, strides: [2, 2] });
    const heads = [fine, coarse].map((map) => {
      const last = net.op('Transpose', [net.conv(map, 4, 6, [3, 3], { pads })], { perm: [0, 2, 3, 1] });
      return net.op('Reshape', [last, net.ints(1, -1, 2)]);
    });
    const resolved = net.resolve(net.op('Concat', heads, { axis: 1 }));
    const { outputs, stops, reference } = longestPrefix(resolved, ['x0'], { rows: 2, cols: 2 });
    expect(outputs).toHaveLength(2);
    expect(reference).toMatchObject({ rows: 4, cols: 4 });
    expect(stops.filter(({ waits }) => !waits).map(({ op }) => op)).toEqual(['Reshape', 'Reshape']);
    await expectLossless(resolved, outputs);
  });

  test('ends before an enlargement, where fewer bytes are live', () => {
    const net = new Network();
    const small = net.conv(net.input([1, 3, 32, 32]), 3, 8, [3, 3], { pads, strides: [4, 4] });
    const up = net.op('Resize', [small, '', net.values('float32', [4], [1, 1, 4, 4])], { mode: 'linear' });
    const resolved = net.resolve(net.op('Sigmoid', [up]));
    expect(longestPrefix(resolved, ['x0'], { rows: 2, cols: 2 }).outputs).toEqual([small]);
  });

  test('begins at tensors of an earlier stage too', () => {
    const { resolved, a, inner, b, c } = classifier();
    const { outputs } = longestPrefix(resolved, [a], { rows: 2, cols: 2 });
    expect(outputs).toEqual([c]);
    expect(longestPrefix(resolved, [inner, a], { rows: 5, cols: 5 }).outputs).toEqual([b]);
  });
});

describe('a cut that the user named', () => {
  test('outputs that tensor and all other live tensors', () => {
    const { resolved, inner, a } = classifier();
    expect(explicitCut(resolved, ['x0'], [inner]).outputs).toEqual([a, inner]);
  });

  test.each(['x0', 'nothing of that name'])('refuses %s', (tensor) => {
    const { resolved } = classifier();
    expect(() => explicitCut(resolved, ['x0'], [tensor])).toThrow(TesseraError);
  });

  test('that tiles cannot reach names the operator in the way', () => {
    const { resolved } = classifier();
    const last = resolved.model.graph.outputs[0]!.name;
    expect(() => explicitCut(resolved, ['x0'], [last])).toThrow(/GlobalAveragePool.*needs the whole map/);
  });
});

describe('stages that cannot be built', () => {
  const { resolved, c } = classifier();
  test.each([
    [stageOf(['x0'], [c], { kind: 'tiles', padding: 'halo', rows: [2, 1], cols: [4] }), /rows \[2,1\] do not tile/],
    [stageOf(['x0'], [c], { kind: 'channels', sizes: [2, 2] }), /channels cannot pass Conv/],
    [
      stageOf(
        ['x0'],
        resolved.model.graph.outputs.map(({ name }) => name),
        { kind: 'tiles', padding: 'halo', rows: [1], cols: [1] },
      ),
      /GlobalAveragePool/,
    ],
    [stageOf(['x0'], ['nothing'], { kind: 'tiles', padding: 'halo', rows: [1], cols: [1] }), /no tensor "nothing"/],
    [stageOf([c], [c], { kind: 'tiles', padding: 'halo', rows: [1], cols: [1] }), /cannot be the output/],
  ])('%#', (stage, message) => {
    expect(() => buildStage(resolved, stage)).toThrow(message);
    expect(() => buildStage(resolved, stage)).toThrow(TesseraError);
  });
});

test('rows and columns of an input are inferred from its readers', () => {
  const net = new Network();
  const bytes = net.input([1, 20, 30, 3], 'uint8');
  const series = net.input([1, 8, 100]);
  const planes = net.op('Transpose', [net.op('Cast', [bytes], { to: 1 })], { perm: [0, 3, 1, 2] });
  const resolved = net.resolve(net.conv(planes, 3, 2, [3, 3]), net.conv(series, 8, 2, [3]));
  expect(inferLayout(resolved, bytes)).toEqual({ h: 1, w: 2, rows: 20, cols: 30 });
  expect(inferLayout(resolved, planes)).toEqual({ h: 2, w: 3, rows: 20, cols: 30 });
  expect(inferLayout(resolved, series)).toEqual({ h: -1, w: 2, rows: 1, cols: 100 });
  expect(inferLayout(resolved, 'nothing')).toBeUndefined();
});
