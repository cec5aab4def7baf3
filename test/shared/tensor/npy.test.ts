import { expect, it } from 'vitest';
import { npyOf } from '../../../shared/tensor/npy.ts';
import type { Dtype } from '../../../shared/tensor/tensor.ts';

/** NumPy refuses a header that is a byte off. */
it('writes what numpy.load reads: magic, aligned header, elements', () => {
  const data = new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
  const bytes = npyOf({ dtype: 'float32', shape: [2, 3], data });
  const length = bytes[8]! + 256 * bytes[9]!;
  const header = new TextDecoder().decode(bytes.subarray(10, 10 + length));
  expect([...bytes.subarray(0, 8)]).toEqual([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
  expect((10 + length) % 64).toBe(0);
  expect(header).toMatch(/^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} *\n$/);
  expect([...bytes.subarray(10 + length)]).toEqual([...data]);
});

it.each([
  [[], '()'],
  [[5], '(5,)'],
] as const)('writes shape %j as Python does', (shape, text) => {
  const bytes = npyOf({ dtype: 'uint8', shape, data: new Uint8Array(shape[0] ?? 1) });
  expect(new TextDecoder('latin1').decode(bytes)).toContain(`'shape': ${text}, }`);
});

it('knows every element type', () => {
  const types: Dtype[] = [
    'bool',
    'int8',
    'uint16',
    'int16',
    'float16',
    'uint32',
    'int32',
    'uint64',
    'int64',
    'float64',
  ];
  for (const dtype of types)
    expect(new TextDecoder('latin1').decode(npyOf({ dtype, shape: [0], data: new Uint8Array(0) }))).toMatch(
      /'[<|][bifu]\d'/,
    );
});
