import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { FRAME_INPUT, type PreparedInput, withPreprocessing } from '../../../shared/onnx/preprocess.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import type { Dtype } from '../../../shared/tensor/tensor.ts';
import { node, sketch } from './build.ts';
import { feed, missing, network, run } from './networks.ts';

const plain = { layout: 'nchw', color: 'rgb', scale: 1, mean: [], std: [] } as const;

function identity(shape: readonly number[], dtype: Dtype = 'float32') {
  return resolveModel(sketch({ nodes: [node('Identity', ['x'], ['y'])], inputs: { x: shape }, outputs: ['y'], dtype }));
}

function shapeOf({ layout, color, height, width }: Omit<PreparedInput, 'tensor'>): number[] {
  const channels = color === 'rgb' || color === 'bgr' ? 3 : 1;
  return layout === 'nchw' ? [1, channels, height, width] : [1, height, width, channels];
}

/** The definition of DESIGN.md section 6, in double precision. */
function reference(pixels: readonly number[], input: Omit<PreparedInput, 'tensor'>): number[] {
  const { height, width, layout, color, scale, mean, std } = input;
  const channels = color === 'rgb' || color === 'bgr' ? 3 : 1;
  const at = (list: readonly number[], c: number, none: number) => list[list.length === 1 ? 0 : c] ?? none;
  const result: number[] = [];
  for (let i = 0; i < height * width * channels; i++) {
    const c = layout === 'nchw' ? Math.floor(i / (height * width)) : i % channels;
    const place = layout === 'nchw' ? i % (height * width) : Math.floor(i / channels);
    const pixel = pixels[place * channels + (color === 'bgr' ? 2 - c : c)]!;
    result.push((pixel / scale - at(mean, c, 0)) / at(std, c, 1));
  }
  return result;
}

test('any picture is preprocessed as model.yaml says, for every colour order, layout and normalisation', async () => {
  const fraction = fc.double({ min: 0.05, max: 2, noNaN: true });
  const one = (channels: number) =>
    fc.oneof(
      fc.constant([]),
      fc.array(fraction, { minLength: 1, maxLength: 1 }),
      fc.array(fraction, { minLength: channels, maxLength: channels }),
    );
  const preparation = fc
    .record({
      height: fc.integer({ min: 1, max: 5 }),
      width: fc.integer({ min: 1, max: 5 }),
      layout: fc.constantFrom('nchw', 'nhwc'),
      color: fc.constantFrom('rgb', 'bgr', 'gray', 'y'),
      scale: fc.constantFrom(1, 255, 127.5),
    })
    .chain((base) => {
      const channels = base.color === 'rgb' || base.color === 'bgr' ? 3 : 1;
      return fc.record({ mean: one(channels), std: one(channels) }).map((lists) => ({ ...base, ...lists }));
    });
  await fc.assert(
    fc.asyncProperty(preparation, async (input) => {
      const model = withPreprocessing(identity(shapeOf(input)), { tensor: 'x', ...input });
      const channels = input.color === 'rgb' || input.color === 'bgr' ? 3 : 1;
      const frame = feed({ dtype: 'uint8', shape: [1, input.height, input.width, channels] }, (i) => (i * 37) % 256);
      const { y } = await run(writeModel(model), { [FRAME_INPUT]: frame });
      const expected = reference([...(frame.data as Uint8Array)], input);
      expect(y!.dims).toEqual(shapeOf(input));
      const largest = Math.max(...expected.map(Math.abs), 1e-9);
      expected.forEach((value, i) => {
        expect(Math.abs((y!.data as Float32Array)[i]! - value)).toBeLessThanOrEqual(1e-6 * largest);
      });
    }),
    { numRuns: 60 },
  );
});

describe('operators without effect are left out', () => {
  const opsOf = (input: Partial<PreparedInput>, dtype: Dtype = 'float32') => {
    const whole = { ...plain, tensor: 'x', height: 4, width: 4, ...input };
    return withPreprocessing(identity(shapeOf(whole), dtype), whole)
      .graph.nodes.slice(0, -1)
      .map(({ op }) => op);
  };
  test.each([
    [{}, ['Transpose', 'Cast']],
    [{ layout: 'nhwc' }, ['Cast']],
    [{ scale: 255 }, ['Transpose', 'Cast', 'Mul']],
    [{ mean: [104, 117, 123], color: 'bgr' }, ['Transpose', 'Gather', 'Cast', 'Add']],
    [{ scale: 127.5, mean: [1] }, ['Transpose', 'Cast', 'Mul', 'Add']],
    [{ color: 'gray', layout: 'nhwc', scale: 255 }, ['Cast', 'Mul']],
  ] as const)('%j: %j', (input, ops) => {
    expect(opsOf(input)).toEqual(ops);
  });

  test('a model that takes the pixels themselves gets them', () => {
    expect(opsOf({ layout: 'nhwc' }, 'uint8')).toEqual(['Identity']);
    expect(opsOf({}, 'uint8')).toEqual(['Transpose']);
  });
});

test('the frame replaces the input, whose name stays as a tensor that plans can cut at', () => {
  const { graph } = withPreprocessing(identity([1, 3, 4, 6]), { ...plain, tensor: 'x', height: 4, width: 6 });
  expect(graph.inputs).toEqual([{ name: FRAME_INPUT, dtype: 'uint8', elementType: 2, shape: [1, 4, 6, 3] }]);
  expect(graph.nodes.at(-2)?.outputs).toEqual(['x']);
});

test('a card that does not fit the model is refused', () => {
  const refuse = (shape: readonly number[], input: Partial<PreparedInput>) => {
    try {
      withPreprocessing(identity(shape), { ...plain, tensor: 'x', height: 4, width: 4, ...input });
    } catch (error) {
      return error instanceof TesseraError ? error.code : error;
    }
  };
  expect(refuse([1, 3, 4, 5], {})).toBe('TESSERA_SHAPE');
  expect(refuse([1, 3, 4, 4], { tensor: 'image' })).toBe('TESSERA_SHAPE');
  expect(refuse([1, 3, 4, 4], { layout: 'nhwc' })).toBe('TESSERA_SHAPE');
  expect(refuse([1, 3, 4, 4], { color: 'gray' })).toBe('TESSERA_SHAPE');
  expect(refuse([1, 3, 4, 4], { mean: [1, 2] })).toBe('TESSERA_MODEL_CARD');
  expect(refuse([1, 3, 4, 4], { std: [0] })).toBe('TESSERA_MODEL_CARD');
});

test.skipIf(missing('mobilenet_v1_025_128.onnx'))('a real network resolves with its preprocessing', () => {
  const input = { ...plain, tensor: 'input', height: 128, width: 128, scale: 127.5, mean: [1] };
  const { model, specs } = resolveModel(withPreprocessing(network('mobilenet_v1_025_128.onnx'), input));
  expect(specs.get('input')).toEqual({ dtype: 'float32', shape: [1, 3, 128, 128] });
  expect(model.graph.nodes.flatMap(({ outputs }) => outputs).every((name) => specs.has(name))).toBe(true);
});
