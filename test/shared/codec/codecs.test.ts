import { describe, expect, it } from 'vitest';
import { codecNames, findCodec } from '../../../shared/codec/codecs.ts';
import { type ClipSpec, codecSpec, codecText, parseCodec } from '../../../shared/codec/spec.ts';
import { bytesOf, codecSuite, floatsOf } from './codec-suite.ts';

const exactly = { within: () => 0, settles: true };
/** Half a step of 8 bits over the values' range, plus the rounding of float32. */
const halfStep = {
  within: (values: Float32Array) => {
    const [min, max] = [Math.min(0, ...values), Math.max(0, ...values)];
    return (max - min) / 255 / 2 + (max - min) * 1e-6;
  },
  settles: false,
};

codecSuite('raw', { name: 'raw' }, exactly);
codecSuite('packed', { name: 'packed' }, exactly);
codecSuite('fp16', { name: 'fp16' }, { within: () => 8 * 2 ** -11, settles: true });
codecSuite('q8 per tensor', { name: 'q8', per: 'tensor' }, halfStep);
codecSuite('q8 per channel', { name: 'q8', per: 'channel' }, halfStep);
// Clipped ReLU: values above b, below a, or shifted by a differ by that much.
codecSuite(
  'clip 0..8, 8 bits',
  { name: 'clip', a: 0, b: 8, bits: 8 },
  { within: (values) => Math.max(8 / 510 + 1e-6, -Math.min(...values, 0)), settles: true },
);
codecSuite('clip 0.2..2, 4 bits', { name: 'clip', a: 0.2, b: 2, bits: 4 }, { within: () => 8, settles: false });
codecSuite(
  'clip -8..8 in place, 6 bits',
  { name: 'clip', a: -8, b: 8, bits: 6, base: -8 },
  { within: () => 16 / 126 + 1e-5, settles: true },
);

describe('the list of codecs', () => {
  it('has every codec that plans may name', () => {
    const named = codecSpec.options.map((option) => ('shape' in option ? option.shape.name.value : 'clip'));
    expect(codecNames()).toEqual(named);
    expect(findCodec('zip')).toBeUndefined();
  });
});

describe('a codec on the command line', () => {
  it.each(['raw', 'packed', 'fp16', 'q8', 'q8:channel', 'clip:0.2:2:4', 'clip:-1.5:3:6:-1.5'])('%s', (text) => {
    expect(codecText(parseCodec(text))).toBe(text);
  });

  it.each([
    '',
    'zip',
    'raw:1',
    'q8:row',
    'q8:',
    'clip',
    'clip:0:1',
    'clip:0:1:9',
    'clip:0:1:1',
    'clip:0:1:2.5',
    'clip:1:1:4',
    'clip:2:1:4',
    'clip:0::4',
    'clip:0:1:4:x',
    'clip:0:1e-320:4',
    'clip:0:Infinity:4',
  ])('%j is refused with the accepted forms', (text) => {
    expect(() => parseCodec(text)).toThrow(/is no codec: raw, packed/);
  });
});

describe('packed', () => {
  it('halves the size of feature maps after ReLU', () => {
    const n = 20_000;
    const values = Array.from({ length: n }, (_, i) => Math.max(0, Math.sin(i * 12.9898) * 3.1));
    const spec = { dtype: 'float32', shape: [n] } as const;
    const bytes = findCodec('packed')!.encode(bytesOf(values), spec, { name: 'packed' });
    expect(bytes.byteLength).toBeLessThan(0.55 * 4 * n);
  });
});

describe('fp16', () => {
  const spec = { dtype: 'float32', shape: [1] } as const;
  const through = (value: number): number => {
    const { encode, decode } = findCodec('fp16')!;
    return floatsOf(decode(encode(bytesOf([value]), spec, { name: 'fp16' }), spec, { name: 'fp16' }))[0]!;
  };

  it('rounds to the nearest half, ties to even, and saturates (IEEE 754)', () => {
    expect(through(1)).toBe(1);
    expect(through(-2.5)).toBe(-2.5);
    expect(through(1 + 2 ** -11)).toBe(1);
    expect(through(1 + 3 * 2 ** -11)).toBe(1 + 2 ** -9);
    expect(through(65504)).toBe(65504);
    expect(through(65519.99)).toBe(65504);
    expect(through(1e9)).toBe(65504);
    expect(through(Number.NEGATIVE_INFINITY)).toBe(-65504);
    expect(through(2 ** -24)).toBe(2 ** -24);
    expect(through(2 ** -25)).toBe(0);
    expect(through(1.01 * 2 ** -25)).toBe(2 ** -24);
    expect(through(2 ** -14 - 2 ** -25)).toBe(2 ** -14);
    expect(through(Number.NaN)).toBeNaN();
    expect(Object.is(through(-0), -0)).toBe(true);
  });

  it('restores every half exactly', () => {
    const { encode, decode } = findCodec('fp16')!;
    const all = new Uint16Array(65536).map((_, i) => i);
    // Infinities become the largest half and all NaNs one: encoding makes neither.
    const halves = all.filter((half) => (half & 0x7c00) !== 0x7c00);
    const shape = { dtype: 'float32', shape: [halves.length] } as const;
    const floats = decode(new Uint8Array(halves.buffer), shape, { name: 'fp16' });
    expect(new Uint16Array(encode(floats, shape, { name: 'fp16' }).slice().buffer)).toEqual(halves);
  });
});

describe('q8', () => {
  it('per channel keeps small values beside a channel of large ones', () => {
    const values = [...Array(100).keys()].flatMap((i) => [i / 5000]).concat([...Array(100).keys()].map((i) => i * 3));
    const spec = { dtype: 'float32', shape: [1, 2, 10, 10] } as const;
    const error = (per: 'tensor' | 'channel'): number => {
      const { encode, decode } = findCodec('q8')!;
      const back = floatsOf(decode(encode(bytesOf(values), spec, { name: 'q8', per }), spec, { name: 'q8', per }));
      return Math.max(...values.slice(0, 100).map((value, i) => Math.abs(value - back[i]!)));
    };
    expect(error('tensor')).toBeGreaterThan(0.01);
    expect(error('channel')).toBeLessThan(0.003);
  });

  it('keeps zeros exact where the smallest value is zero', () => {
    const spec = { dtype: 'float32', shape: [1, 2, 2] } as const;
    const { encode, decode } = findCodec('q8')!;
    for (const per of ['tensor', 'channel'] as const)
      expect(
        floatsOf(decode(encode(bytesOf([0, 5, 0, 2]), spec, { name: 'q8', per }), spec, { name: 'q8', per }))[0],
      ).toBe(0);
  });
});

describe('clip', () => {
  const clip: ClipSpec = { name: 'clip', a: 0.2, b: 2, bits: 4 };
  const spec = { dtype: 'float32', shape: [7] } as const;

  it("is the published example's clipped ReLU: 0 below a, x - a between, b - a above (FACTS section 2)", () => {
    const { encode, decode } = findCodec('clip')!;
    const step = 1.8 / 15;
    const bytes = encode(bytesOf([-1, 0.1, 0.2, 0.7, 1.9, 2, 3]), spec, clip);
    const back = floatsOf(decode(bytes, spec, clip));
    [0, 0, 0, 4 * step, 14 * step, 1.8, 1.8].forEach((expected, i) => {
      expect(back[i]).toBeCloseTo(expected, 6);
    });
  });

  it('has the same codes for sparse and for dense tensors, at every threshold', () => {
    // Both ways of finding codes must agree to the last bit, or other values of a tile would change a value's code.
    const { encode, decode } = findCodec('clip')!;
    const marks = Array.from({ length: 15 }, (_, q) => 0.2 + ((q + 0.5) * 1.8) / 15);
    const near = marks.flatMap((mark) => {
      const float = Float32Array.of(mark);
      const bits = new Int32Array(float.buffer);
      return [-2, -1, 0, 1, 2].map((step) => {
        const moved = Int32Array.of(bits[0]! + step);
        return new Float32Array(moved.buffer)[0]!;
      });
    });
    const zeros = Array.from({ length: 20 * near.length }, () => 0);
    const shape = (n: number) => ({ dtype: 'float32', shape: [n] }) as const;
    const all = [...near, ...zeros];
    const sparse = floatsOf(decode(encode(bytesOf(all), shape(all.length), clip), shape(all.length), clip));
    const dense = floatsOf(decode(encode(bytesOf(near), shape(near.length), clip), shape(near.length), clip));
    expect(sparse.slice(0, near.length)).toEqual(dense);
  });
});
