import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { describeModel } from '../../../shared/onnx/describe.ts';
import { readModel } from '../../../shared/onnx/read.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { ints, node, sketch, weights } from './build.ts';
import { missing, networkBytes } from './networks.ts';

/** Every family of operators once, small enough to be mutated a thousand times. */
const small = writeModel(
  sketch({
    nodes: [
      node('Conv', ['x', 'w', 'b'], ['c'], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] }),
      node('MaxPool', ['c'], ['p'], { kernel_shape: [2, 2], ceil_mode: 1 }),
      node('Shape', ['p'], ['s']),
      node('Gather', ['s', 'two'], ['g']),
      node('Concat', ['g', 'rest'], ['target'], { axis: 0 }),
      node('Slice', ['p', 'zero', 'end', 'one'], ['part']),
      node('Tile', ['part', 'repeats'], ['t']),
      node('Pad', ['t', 'pads'], ['padded']),
      node('Transpose', ['padded'], ['turned'], { perm: [0, 2, 3, 1] }),
      node('ReduceMean', ['turned'], ['mean'], { axes: [1, 2] }),
      node('Split', ['c'], ['left', 'right'], { axis: 1 }),
      node('Resize', ['left', '', 'scales'], ['larger']),
      node('Flatten', ['p'], ['f']),
      node('Gemm', ['f', 'm'], ['y'], { transB: 1 }),
      node('ConstantOfShape', ['target'], ['filled']),
    ],
    inputs: { x: ['N', 3, 8, 8] },
    outputs: ['y', 'mean', 'larger', 'filled'],
    constants: [
      weights('w', [4, 3, 3, 3]),
      weights('b', [4]),
      weights('m', [2, 36]),
      { ...weights('scales', [4]), data: { kind: 'inline', bytes: floats([1, 1, 2, 2]) } },
      ints('two', [2]),
      ints('rest', [2]),
      ints('zero', [0]),
      ints('end', [2 ** 63]),
      ints('one', [1]),
      ints('repeats', [1, 1, 2, 2]),
      ints('pads', [0, 0, 1, 1, 0, 0, 1, 1]),
    ],
  }),
);

function floats(values: readonly number[]): Uint8Array {
  return new Uint8Array(new Float32Array(values).buffer);
}

/** Reads a file as a command does; a TesseraError is a valid outcome, any other error is a fault of Tessera. */
function digest(bytes: Uint8Array): void {
  try {
    const model = readModel(bytes);
    readModel(writeModel(model));
    describeModel(resolveModel(model));
  } catch (error) {
    if (error instanceof TesseraError) return;
    throw error;
  }
}

test('the undamaged model is understood as a whole', () => {
  const resolved = resolveModel(readModel(small));
  expect(resolved.model.graph.nodes.flatMap(({ outputs }) => outputs).every((name) => resolved.specs.has(name))).toBe(
    true,
  );
});

describe('damaged files never crash, hang or exhaust memory', () => {
  test('cut short anywhere', () => {
    for (let length = 0; length < small.length; length++) digest(small.subarray(0, length));
  });

  test('bytes changed anywhere', () => {
    const change = fc.record({ at: fc.nat(small.length - 1), to: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const bytes = small.slice();
        for (const { at, to } of changes) bytes[at] = to;
        digest(bytes);
      }),
      { numRuns: 5000 },
    );
  });

  test('pieces swapped, repeated and left out', () => {
    const at = fc.nat(small.length);
    fc.assert(
      fc.property(at, at, at, (a, b, c) => {
        const piece = small.subarray(Math.min(a, b), Math.max(a, b));
        digest(Uint8Array.from([...small.subarray(0, c), ...piece, ...small.subarray(c)]));
        digest(Uint8Array.from([...small.subarray(0, Math.min(a, b)), ...small.subarray(Math.max(a, b))]));
      }),
      { numRuns: 500 },
    );
  });

  test.skipIf(missing('mnist-8.onnx'))(`a real network with flipped bits ${missing('mnist-8.onnx') || ''}`, () => {
    const bytes = networkBytes('mnist-8.onnx');
    const bit = fc.record({ at: fc.nat(bytes.length - 1), mask: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(bit, { minLength: 1, maxLength: 20 }), (bits) => {
        const damaged = bytes.slice();
        for (const { at, mask } of bits) damaged[at]! ^= 1 << mask;
        digest(damaged);
      }),
      { numRuns: 1000 },
    );
  });
});
