import { Encoder } from 'cbor-x';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scanCbor } from '../../../shared/protocol/cbor-scan.ts';

// Lost if these fail: bytes from the network reach a decoder that compiles functions for tags, overflows its stack on
// nested arrays, and takes the lone byte ff for an empty object.

const LIMITS = { depth: 8, items: 1000 };
const coder = new Encoder({ useRecords: false, tagUint8Array: false, variableMapSize: true });
const bytes = (...values: number[]) => Uint8Array.from(values);

const plainValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.boolean(),
    fc.constant(null),
    fc.double(),
    fc.integer(),
    fc.string(),
    fc.uint8Array(),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string({ maxLength: 6 }), tie('value'), { maxKeys: 5 }),
  ),
})).value;

describe('scanCbor', () => {
  it('accepts everything that the encoder writes', () => {
    fc.assert(
      fc.property(plainValue, (value) => {
        expect(scanCbor(coder.encode(value), LIMITS)).toBeUndefined();
      }),
    );
  });

  it('refuses every truncated message, and every message with trailing bytes', () => {
    const whole = coder.encode({ v: 1, d: new Uint8Array(300), names: ['a', 'bc'], x: 1.5, n: 70_000, none: null });
    for (let length = 0; length < whole.length; length++) {
      expect(scanCbor(whole.subarray(0, length), LIMITS)).toBe('ends too early');
    }
    expect(scanCbor(bytes(...whole, 0), LIMITS)).toBe('has bytes after its end');
  });

  it('refuses keys that are no text, which decoders treat in different ways', () => {
    for (const key of [0x40, 0x01, 0x80, 0xa0, 0xf6]) expect(scanCbor(bytes(0xa1, key, 0), LIMITS)).toMatch(/no text/);
    expect(scanCbor(bytes(0xa1, 0x61, 0x61, 0xa1, 0x61, 0x62, 0), LIMITS)).toBeUndefined();
  });

  it('accepts nothing that the decoder then cannot read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (noise) => {
        if (scanCbor(noise, LIMITS) === undefined) coder.decode(noise);
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['a lone break', bytes(0xff), 'has an indefinite length'],
    ['an indefinite array', bytes(0x9f, 0xff), 'has an indefinite length'],
    ['a record definition, for which the decoder compiles a function', bytes(0xd8, 0x69, 0x80), 'has a tag'],
    ['a date', bytes(0xc1, 0x00), 'has a tag'],
    ['a simple value', bytes(0xe0), 'has an unknown simple value'],
    ['a simple value of two bytes', bytes(0xf8, 0xff), 'has an unknown simple value'],
    ['a reserved length', bytes(0x1c), 'has a reserved length'],
    ['an array of 2^32 - 1 items in five bytes', bytes(0x9a, 0xff, 0xff, 0xff, 0xff), 'ends too early'],
    ['a string of 2^64 - 1 bytes', bytes(0x5b, ...new Array(8).fill(0xff)), 'ends too early'],
    ['a negative 64-bit number', bytes(0x3b, ...new Array(8).fill(1)), 'has a negative integer of 64 bits'],
    ['arrays in arrays', new Uint8Array(40_000).fill(0x81), 'nests deeper than 8'],
    ['too many items', bytes(0x99, 0x07, 0xd0, ...new Array(2000).fill(0)), 'more than 1000 items'],
  ])('refuses %s', (_what, input, why) => {
    expect(scanCbor(input, LIMITS)).toBe(why);
  });
});
