import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Box,
  boxFits,
  boxShape,
  byteLength,
  contains,
  copyBox,
  crop,
  cropRegion,
  overlaps,
  paste,
  type Tensor,
} from '../../../shared/tensor/tensor.ts';

const shapeAndBox = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 }).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    box: fc.tuple(
      ...shape.map((size) =>
        fc.tuple(fc.integer({ min: 0, max: size - 1 }), fc.integer({ min: 1, max: size })).map(([a, length]) => {
          return [a, Math.min(size, a + length)] as const;
        }),
      ),
    ) as fc.Arbitrary<Box>,
    dtype: fc.constantFrom('uint8', 'float32', 'int64' as const),
  }),
);

function numbered(spec: { dtype: Tensor['dtype']; shape: number[] }): Tensor {
  const data = new Uint8Array(byteLength(spec));
  for (let i = 0; i < data.length; i++) data[i] = (i * 31 + (i >> 8)) & 0xff;
  return { ...spec, data };
}

/** The element at an index, by the definition of order C. */
function bytesAt({ dtype, shape, data }: Tensor, index: readonly number[]): number[] {
  const size = byteLength({ dtype, shape: [] });
  let offset = 0;
  for (let axis = 0; axis < shape.length; axis++) offset = offset * shape[axis]! + index[axis]!;
  return [...data.subarray(offset * size, (offset + 1) * size)];
}

function* indices(shape: readonly number[], prefix: number[] = []): Generator<number[]> {
  if (prefix.length === shape.length) yield prefix;
  else for (let i = 0; i < shape[prefix.length]!; i++) yield* indices(shape, [...prefix, i]);
}

describe('regions of a tensor', () => {
  test('crop takes exactly the elements of the box, for every rank and dtype', () => {
    fc.assert(
      fc.property(shapeAndBox, ({ shape, box, dtype }) => {
        const whole = numbered({ dtype, shape });
        const region: Tensor = { dtype, shape: boxShape(box), data: crop(whole, box) };
        for (const index of indices(region.shape))
          expect(bytesAt(region, index)).toEqual(
            bytesAt(
              whole,
              index.map((i, axis) => i + box[axis]![0]),
            ),
          );
      }),
    );
  });

  test('paste puts back what crop took and touches nothing else', () => {
    fc.assert(
      fc.property(shapeAndBox, ({ shape, box, dtype }) => {
        const whole = numbered({ dtype, shape });
        const region = crop(whole, box);
        const target: Tensor = { dtype, shape, data: new Uint8Array(whole.data) };
        paste(target, box, new Uint8Array(region.length).fill(0xee));
        paste(target, box, region);
        expect(target.data).toEqual(whole.data);
      }),
    );
  });

  test('a box outside the tensor, empty or of another rank does not fit', () => {
    expect(boxFits([[0, 2]], [2])).toBe(true);
    expect(boxFits([[0, 3]], [2])).toBe(false);
    expect(boxFits([[1, 1]], [2])).toBe(false);
    expect(boxFits([[-1, 1]], [2])).toBe(false);
    expect(
      boxFits(
        [
          [0, 2],
          [0, 1],
        ],
        [2],
      ),
    ).toBe(false);
  });
});

describe('two regions of one tensor', () => {
  /** A box, one around it, and another one around it, in one tensor. */
  const nested = shapeAndBox.chain(({ shape, box, dtype }) => {
    const around = fc
      .tuple(
        ...shape.map((size, axis) => fc.tuple(fc.nat(box[axis]![0]), fc.integer({ min: box[axis]![1], max: size }))),
      )
      .map((ranges) => ranges as Box);
    return fc.record({
      shape: fc.constant(shape),
      dtype: fc.constant(dtype),
      box: fc.constant(box),
      one: around,
      other: around,
    });
  });

  test('copying a box from one to the other equals cutting it out of the whole and pasting it', () => {
    fc.assert(
      fc.property(nested, ({ shape, dtype, box, one, other }) => {
        const whole = numbered({ dtype, shape });
        const part = (around: Box, data?: Uint8Array): Tensor => {
          const spec = { dtype, shape: boxShape(around) };
          return { ...spec, data: data ?? new Uint8Array(byteLength(spec)) };
        };
        const from = part(one, crop(whole, one));
        const to = part(other);
        copyBox(from, one, to, other, box);
        const expected: Tensor = { dtype, shape, data: new Uint8Array(whole.data.length) };
        paste(expected, box, crop(whole, box));
        expect(to.data).toEqual(crop(expected, other));
        expect(cropRegion(from, one, box)).toEqual(crop(whole, box));
        expect([contains(one, box), contains(other, box), overlaps(one, other)]).toEqual([true, true, true]);
      }),
    );
  });

  test('contain and overlap one another only where they share elements', () => {
    expect(contains([[0, 4]], [[1, 5]])).toBe(false);
    expect([contains([[0, 4]], [[2, 2]]), contains([[0, 4]], [[3, 1]])]).toEqual([false, false]);
    expect(
      contains(
        [[0, 4]],
        [
          [0, 4],
          [0, 1],
        ],
      ),
    ).toBe(false);
    expect(
      overlaps(
        [
          [0, 4],
          [0, 2],
        ],
        [
          [3, 5],
          [2, 3],
        ],
      ),
    ).toBe(false);
    expect(
      overlaps(
        [
          [0, 4],
          [0, 2],
        ],
        [
          [3, 5],
          [1, 3],
        ],
      ),
    ).toBe(true);
  });
});
