import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GraphNode, Initializer } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import { float, ints, node, type PlainAttribute, sketch, weights } from './build.ts';
import { typesByRunning } from './networks.ts';

const floats = (name: string, values: readonly number[]) => constantTensor(name, 'float32', [values.length], values);

interface Step {
  readonly op: string;
  readonly attributes?: Readonly<Record<string, PlainAttribute>>;
  /** Names of the inputs after the first; '' for absent ones. */
  readonly rest?: readonly string[];
  readonly constants?: readonly Initializer[];
  readonly outputs?: number;
  readonly opset?: number;
  readonly shape?: readonly number[];
}

/** Resolves one operator on a float input and compares all its outputs with the runtime's. */
async function compare({
  op,
  attributes = {},
  rest = [],
  constants = [],
  outputs = 1,
  opset = 17,
  shape = [1, 4, 9, 7],
}: Step) {
  const names = Array.from({ length: outputs }, (_, i) => `y${i}`);
  const nodes: GraphNode[] = [node(op, ['x', ...rest], names, attributes)];
  const resolved = resolveModel(sketch({ nodes, inputs: { x: shape }, outputs: names, constants, opset }));
  const real = await typesByRunning(resolved);
  expect(real.size).toBe(outputs);
  for (const name of names) expect(resolved.specs.get(name)).toEqual(real.get(name));
}

describe('operators whose attributes became inputs, in every version', () => {
  const zero = (name: string) => constantTensor(name, 'int64', [], [0]);
  const cases: readonly Step[] = [
    { op: 'Slice', opset: 9, attributes: { starts: [1, -3], ends: [2 ** 63, -1], axes: [2, 3] } },
    { op: 'Slice', opset: 9, attributes: { starts: [0], ends: [-1] } },
    { op: 'Slice', opset: 10, rest: ['s', 'e'], constants: [ints('s', [0, 1]), ints('e', [1, 3])] },
    {
      op: 'Slice',
      opset: 13,
      rest: ['s', 'e', 'a', 'p'],
      constants: [ints('s', [-1, 8]), ints('e', [-(2 ** 63), 1]), ints('a', [3, -2]), ints('p', [-2, -3])],
    },
    { op: 'Slice', rest: ['s', 'e', 'a'], constants: [ints('s', [100]), ints('e', [200]), ints('a', [2])] },
    { op: 'Squeeze', opset: 11, attributes: { axes: [0, -1] }, shape: [1, 3, 1] },
    { op: 'Squeeze', opset: 13, rest: ['a'], constants: [ints('a', [0])], shape: [1, 3, 1] },
    { op: 'Squeeze', opset: 13, shape: [1, 3, 1] },
    { op: 'Unsqueeze', opset: 11, attributes: { axes: [0, 4] }, shape: [2, 3, 4] },
    { op: 'Unsqueeze', opset: 13, rest: ['a'], constants: [ints('a', [-1, 1])], shape: [2, 3] },
    { op: 'Pad', opset: 10, attributes: { pads: [0, 0, 1, 2, 0, 0, 3, 4] } },
    { op: 'Pad', opset: 11, rest: ['p'], constants: [ints('p', [0, 0, -1, 2, 0, 0, 3, -1])] },
    { op: 'Pad', opset: 18, rest: ['p', '', 'a'], constants: [ints('p', [1, 2, 3, 4]), ints('a', [2, -1])] },
    { op: 'Split', opset: 11, attributes: { axis: 1 }, outputs: 2 },
    { op: 'Split', opset: 11, attributes: { axis: 2, split: [2, 3, 4] }, outputs: 3 },
    { op: 'Split', opset: 13, rest: ['s'], constants: [ints('s', [1, 6])], attributes: { axis: -1 }, outputs: 2 },
    { op: 'Split', opset: 18, attributes: { axis: 2, num_outputs: 2 }, outputs: 2 },
    { op: 'ReduceSum', opset: 11, attributes: { axes: [2, 3], keepdims: 0 } },
    { op: 'ReduceSum', opset: 13, rest: ['a'], constants: [ints('a', [-1])] },
    { op: 'ReduceSum', opset: 13, attributes: { noop_with_empty_axes: 1 } },
    { op: 'ReduceMean', opset: 13, attributes: { axes: [1] } },
    { op: 'ReduceMax', opset: 18, rest: ['a'], constants: [ints('a', [1, 2])], attributes: { keepdims: 0 } },
    { op: 'ReduceMin', opset: 17 },
    { op: 'TopK', opset: 9, attributes: { k: 3, axis: 2 }, outputs: 2 },
    { op: 'TopK', opset: 11, rest: ['k'], constants: [ints('k', [2])], outputs: 2 },
    { op: 'Upsample', opset: 8, attributes: { mode: 'nearest', scales: { kind: 'floats', value: [1, 1, 2, 3] } } },
    {
      op: 'Upsample',
      opset: 9,
      rest: ['s'],
      constants: [floats('s', [1, 1, 1.5, 2.5])],
      attributes: { mode: 'nearest' },
    },
    { op: 'Resize', opset: 10, rest: ['s'], constants: [floats('s', [1, 1, 0.5, 0.3])] },
    { op: 'Resize', opset: 11, rest: ['r', 's'], constants: [floats('r', []), floats('s', [1, 1, 1.7, 2.3])] },
    {
      op: 'Resize',
      opset: 11,
      rest: ['r', 's', 'z'],
      constants: [floats('r', []), floats('s', []), ints('z', [1, 4, 5, 20])],
    },
    {
      op: 'Resize',
      opset: 13,
      rest: ['', '', 'z'],
      constants: [ints('z', [1, 4, 13, 2])],
      attributes: { mode: 'linear' },
    },
    { op: 'Resize', opset: 18, rest: ['', 's'], constants: [floats('s', [2, 0.6])], attributes: { axes: [2, 3] } },
    {
      op: 'Resize',
      opset: 18,
      rest: ['', '', 'z'],
      constants: [ints('z', [20, 10])],
      attributes: { axes: [2, 3], keep_aspect_ratio_policy: 'not_larger' },
    },
    {
      op: 'Resize',
      opset: 18,
      rest: ['', '', 'z'],
      constants: [ints('z', [20, 10])],
      attributes: { axes: [3, 2], keep_aspect_ratio_policy: 'not_smaller' },
    },
    { op: 'Clip', opset: 6 + 1, attributes: { min: float(0), max: float(6) } },
    { op: 'Clip', opset: 13, rest: ['', 'm'], constants: [constantTensor('m', 'float32', [], [6])] },
    { op: 'Dropout', opset: 7, outputs: 1 },
    { op: 'Dropout', opset: 13, outputs: 2 },
    { op: 'BatchNormalization', opset: 9, rest: ['s', 's', 's', 's'], constants: [weights('s', [4])] },
    { op: 'BatchNormalization', opset: 15, rest: ['s', 's', 's', 's'], constants: [weights('s', [4])] },
    { op: 'Reshape', rest: ['s'], constants: [ints('s', [0, -1, 7])] },
    { op: 'Reshape', opset: 14, rest: ['s'], constants: [ints('s', [2, -1])], attributes: { allowzero: 1 } },
    { op: 'Flatten', attributes: { axis: 2 } },
    { op: 'Flatten', attributes: { axis: -1 } },
    { op: 'Flatten', attributes: { axis: 4 } },
    { op: 'Flatten', attributes: { axis: 0 } },
    { op: 'Transpose' },
    { op: 'Transpose', attributes: { perm: [0, 2, 3, 1] } },
    { op: 'Expand', rest: ['s'], constants: [ints('s', [3, 1, 4, 1, 7])], shape: [4, 1, 1] },
    { op: 'Tile', rest: ['r'], constants: [ints('r', [1, 2, 3, 1])] },
    {
      op: 'Gather',
      rest: ['i'],
      constants: [constantTensor('i', 'int64', [2, 3], [0, 1, 2, 3, 0, -1])],
      attributes: { axis: 1 },
    },
    { op: 'Gather', rest: ['i'], constants: [zero('i')], attributes: { axis: -1 } },
    { op: 'ArgMax', attributes: { axis: 1, keepdims: 0 } },
    { op: 'ArgMin', attributes: { axis: -1 } },
    { op: 'DepthToSpace', attributes: { blocksize: 2 } },
    { op: 'SpaceToDepth', attributes: { blocksize: 3 }, shape: [1, 2, 9, 6] },
    { op: 'GlobalAveragePool' },
    { op: 'GlobalMaxPool' },
    { op: 'LRN', attributes: { size: 5 } },
    { op: 'InstanceNormalization', rest: ['s', 's'], constants: [weights('s', [4])] },
    { op: 'LayerNormalization', rest: ['s'], constants: [weights('s', [9, 7])], attributes: { axis: -2 }, outputs: 3 },
    {
      op: 'GroupNormalization',
      opset: 21,
      rest: ['s', 's'],
      constants: [weights('s', [4])],
      attributes: { num_groups: 2 },
    },
    { op: 'HardSwish' },
    { op: 'Gelu', opset: 20 },
    { op: 'PRelu', rest: ['s'], constants: [weights('s', [4, 1, 1])] },
    { op: 'Cast', attributes: { to: 6 } },
    { op: 'Shape' },
    { op: 'Softmax', attributes: { axis: 1 } },
    { op: 'Gemm', rest: ['w', 'b'], constants: [weights('w', [5, 3]), weights('b', [3])], shape: [2, 5] },
    { op: 'Gemm', rest: ['w'], constants: [weights('w', [3, 2])], attributes: { transA: 1, transB: 1 }, shape: [2, 5] },
    { op: 'MatMul', rest: ['w'], constants: [weights('w', [7])] },
    { op: 'MatMul', rest: ['w'], constants: [weights('w', [5, 1, 7, 2])] },
    { op: 'MatMul', rest: ['w'], constants: [weights('w', [7, 2])], shape: [7] },
    { op: 'Einsum', rest: ['w'], constants: [weights('w', [4, 5])], attributes: { equation: 'nchw, cd -> ndhw' } },
    { op: 'QuantizeLinear', rest: ['s', 'z'], constants: [floats('s', [1]), constantTensor('z', 'int8', [1], [0])] },
    { op: 'Equal', rest: ['w'], constants: [weights('w', [3, 1, 1, 7])], shape: [1, 4, 9, 1] },
    { op: 'OneHot', rest: ['d', 'v'], constants: [floats('d', [5]), floats('v', [0, 1])], shape: [2, 3] },
  ];
  test.each(
    cases.map((step) => [`${step.op}-${step.opset ?? 17} ${JSON.stringify(step.attributes ?? {})}`, step] as const),
  )('%s', async (_, step) => compare(step));
});

describe('shapes of sliding windows equal those of the runtime for any stride, pad, dilation and rounding', () => {
  const size = fc.integer({ min: 1, max: 24 });
  const window = fc.record({
    kernel: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
    strides: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    dilation: fc.integer({ min: 1, max: 3 }),
    pads: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 4, maxLength: 4 }),
    auto: fc.constantFrom('NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'),
    ceil: fc.boolean(),
    height: size,
    width: size,
  });
  type Window = typeof window extends fc.Arbitrary<infer T> ? T : never;

  const attributesOf = ({ kernel, strides, pads, auto }: Window) => ({
    kernel_shape: kernel,
    strides,
    ...(auto === 'NOTSET' ? { pads } : { auto_pad: auto }),
  });
  /** The runtime refuses pads that are not smaller than the kernel, and SAME pads with dilation or gaps. */
  const fits = ({ kernel, strides, dilation, pads, auto, height, width }: Window) => {
    const isSame = auto.startsWith('SAME');
    if (isSame && dilation > 1) return false;
    return kernel.every((taps, axis) => {
      const padded = auto === 'NOTSET' ? pads[axis]! + pads[axis + 2]! : 0;
      const large = (taps - 1) * dilation + 1;
      if (isSame) return taps >= strides[axis]!;
      return pads.every((pad) => pad < taps) && [height, width][axis]! + padded >= large;
    });
  };

  test('Conv', async () => {
    await fc.assert(
      fc.asyncProperty(window.filter(fits), fc.constantFrom(1, 2), async (each, group) => {
        const attributes = { ...attributesOf(each), dilations: [each.dilation, each.dilation], group };
        const constants = [weights('w', [6, 4 / group, ...each.kernel])];
        await compare({ op: 'Conv', attributes, rest: ['w'], constants, shape: [1, 4, each.height, each.width] });
      }),
      { numRuns: 80 },
    );
  });

  test('MaxPool and AveragePool', async () => {
    const undilated = window.map((each) => ({ ...each, dilation: 1 })).filter(fits);
    await fc.assert(
      fc.asyncProperty(undilated, fc.constantFrom('MaxPool', 'AveragePool'), async (each, op) => {
        const attributes = { ...attributesOf(each), ceil_mode: Number(each.ceil) };
        await compare({ op, attributes, shape: [1, 2, each.height, each.width] });
      }),
      { numRuns: 120 },
    );
  });

  test('ConvTranspose', async () => {
    await fc.assert(
      fc.asyncProperty(window.filter(fits), fc.integer({ min: 0, max: 1 }), async (each, extra) => {
        const strides = each.strides.map((stride) => stride + extra);
        const attributes = { ...attributesOf(each), strides, output_padding: [extra, extra] };
        const constants = [weights('w', [4, 3, ...each.kernel])];
        const step = {
          op: 'ConvTranspose',
          attributes,
          rest: ['w'],
          constants,
          shape: [1, 4, each.height, each.width],
        };
        await compare(step).catch((error) => {
          if (!/too few/.test(String(error))) throw error;
        });
      }),
      { numRuns: 80 },
    );
  });
});
