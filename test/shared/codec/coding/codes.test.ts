import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeCodes, encodeCodes } from '../../../../shared/codec/coding/codes.ts';
import { packedLength } from '../../../../shared/codec/coding/pack.ts';
import { PRESET_COUNT } from '../../../../shared/codec/coding/presets.ts';
import { TesseraError } from '../../../../shared/errors.ts';

/**
 * Never changed within a wire version: messages of older nodes must be readable, and every preset is part of the
 * format.
 */
const frozen = JSON.parse(readFileSync('test/data/frozen-codes.json', 'utf8')) as readonly {
  readonly form: number;
  readonly bits: number;
  readonly n: number;
  readonly codes_deflated: string;
  readonly encoded: string;
}[];

/** Every lossy result consists of codes: a wrong code is a wrong result, and their bytes load the network. */

const BITS = [2, 3, 4, 5, 6, 7, 8];

/** A deterministic stream of numbers from 0 to 1 (mulberry32). */
function shares(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Codes as in a feature map: a share of zeros, small codes more often, similar neighbours as `smooth` says (0..1). */
function mapCodes(n: number, bits: number, zeros: number, smooth: number, seed: number): Uint8Array {
  const next = shares(seed);
  const most = 2 ** bits - 1;
  const codes = new Uint8Array(n);
  let before = 0;
  for (let i = 0; i < n; i++) {
    const fresh = next() < zeros ? 0 : Math.min(most, 1 + Math.floor((-Math.log(1 - next()) * most) / 4));
    codes[i] = before = next() < smooth ? before : fresh;
  }
  return codes;
}

function entropyBytes(codes: Uint8Array): number {
  const counts = new Map<number, number>();
  for (const code of codes) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts.values()].reduce((sum, count) => sum - (count * Math.log2(count / codes.length)) / 8, 0);
}

const form = (bytes: Uint8Array): number => bytes[0]! & 31;

const anyCodes = fc
  .record({
    bits: fc.constantFrom(...BITS),
    n: fc.oneof(fc.nat(40), fc.nat(1200), fc.integer({ min: 2000, max: 12_000 })),
    zeros: fc.constantFrom(0, 0.3, 0.6, 0.85, 0.93, 0.99, 1),
    smooth: fc.constantFrom(0, 0.5, 0.9),
    seed: fc.nat(),
  })
  .map(({ bits, n, zeros, smooth, seed }) => ({ bits, codes: mapCodes(n, bits, zeros, smooth, seed) }));

describe('codes', () => {
  it('are restored exactly, whatever their kind and number', () => {
    fc.assert(
      fc.property(anyCodes, ({ bits, codes }) => {
        const bytes = encodeCodes(codes, codes.length, bits);
        expect(bytes.byteLength).toBeLessThanOrEqual(1 + packedLength(codes.length, bits));
        expect(decodeCodes(bytes, codes.length, bits)).toEqual(codes);
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    { kind: 'noise', form: 0, n: 40, bits: 8, zeros: 0, smooth: 0 },
    { kind: 'few in a large tile', form: 1, n: 20_000, bits: 4, zeros: 0.93, smooth: 0.5 },
    { kind: 'a map unlike all presets', form: 2, n: 20_000, bits: 4, zeros: 0.3, smooth: 0 },
    { kind: 'nothing but zeros', form: 31, n: 1000, bits: 4, zeros: 1, smooth: 0 },
  ])('of $kind take form $form, and are restored', ({ form: wanted, n, bits, zeros, smooth }) => {
    const codes = mapCodes(n, bits, zeros, smooth, 1);
    const bytes = encodeCodes(codes, n, bits);
    expect(form(bytes)).toBe(wanted);
    expect(decodeCodes(bytes, n, bits)).toEqual(codes);
  });

  it('of small maps of many kinds use most presets, and are restored', () => {
    const taken = new Set<number>();
    for (const n of [40, 300, 1000])
      for (const bits of [2, 4, 8])
        for (const zeros of [0, 0.3, 0.6, 0.85, 0.93, 0.99])
          for (const smooth of [0, 0.5, 0.9]) {
            const codes = mapCodes(n, bits, zeros, smooth, 1);
            const bytes = encodeCodes(codes, n, bits);
            if (form(bytes) >= 3 && form(bytes) < 3 + PRESET_COUNT) taken.add(form(bytes));
            expect(decodeCodes(bytes, n, bits)).toEqual(codes);
          }
    expect(taken.size).toBeGreaterThan(PRESET_COUNT / 2);
  });

  it('are restored even where they are no feature map', () => {
    fc.assert(
      fc.property(fc.constantFrom(...BITS), fc.uint8Array({ maxLength: 3000 }), (bits, values) => {
        const codes = values.map((value) => value & (2 ** bits - 1));
        const bytes = encodeCodes(codes, codes.length, bits);
        expect(bytes.byteLength).toBeLessThanOrEqual(1 + packedLength(codes.length, bits));
        expect(decodeCodes(bytes, codes.length, bits)).toEqual(codes);
      }),
    );
  });

  it.each(BITS)('of %i bits: each value of a ramp, every preset', (bits) => {
    const codes = Uint8Array.from({ length: 2 ** bits }, (_, code) => code);
    expect(decodeCodes(encodeCodes(codes, codes.length, bits), codes.length, bits)).toEqual(codes);
    for (let k = 0; k < 40; k++) {
      const map = mapCodes(700, bits, k / 42, (k % 4) / 4, k);
      expect(decodeCodes(encodeCodes(map, map.length, bits), map.length, bits)).toEqual(map);
    }
  });

  it('of a reused working buffer: only the first n count', () => {
    const codes = mapCodes(5000, 4, 0.4, 0.5, 1);
    const n = 3000;
    expect(encodeCodes(codes, n, 4)).toEqual(encodeCodes(codes.slice(0, n), n, 4));
  });

  it('have their own buffer, so that it can be transferred to another thread', () => {
    for (const zeros of [0.2, 0.9, 0.995, 1]) {
      const bytes = encodeCodes(mapCodes(9000, 4, zeros, 0.3, 7), 9000, 4);
      expect([bytes.byteOffset, bytes.buffer.byteLength]).toEqual([0, bytes.byteLength]);
    }
  });

  it('that are all zero take one byte', () => {
    expect(encodeCodes(new Uint8Array(100_000), 100_000, 4)).toEqual(Uint8Array.of(31));
  });

  it('that look like noise are packed', () => {
    const next = shares(3);
    const codes = Uint8Array.from({ length: 4096 }, () => Math.floor(next() * 16));
    expect(form(encodeCodes(codes, 4096, 4))).toBe(0);
  });

  it.each([
    { n: 65_536, zeros: 0.5, smooth: 0 },
    { n: 65_536, zeros: 0.9, smooth: 0 },
    { n: 16_384, zeros: 0.2, smooth: 0 },
    { n: 65_536, zeros: 0.97, smooth: 0.5 },
  ])('$n of them, $zeros zeros: at most 1.03 times the entropy, for independent codes', (kind) => {
    const codes = mapCodes(kind.n, 4, kind.zeros, kind.smooth, 11);
    const bytes = encodeCodes(codes, kind.n, 4).byteLength;
    expect(bytes / entropyBytes(codes)).toBeLessThan(1.03);
  });
});

describe('decoding', () => {
  const damaged = fc.tuple(anyCodes, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }));

  /** Either codes of the right number and range, or TESSERA_CODEC. */
  function judge(bytes: Uint8Array, n: number, bits: number): 'refused' | Uint8Array {
    try {
      const codes = decodeCodes(bytes, n, bits);
      expect(codes.length).toBe(n);
      expect(codes.every((code) => code < 2 ** bits)).toBe(true);
      return codes;
    } catch (error) {
      expect(error).toBeInstanceOf(TesseraError);
      expect((error as TesseraError).code).toBe('TESSERA_CODEC');
      return 'refused';
    }
  }

  it('refuses truncated data', () => {
    let accepted = 0;
    let tried = 0;
    fc.assert(
      fc.property(anyCodes, fc.double({ min: 0, max: 1, noNaN: true }), ({ bits, codes }, share) => {
        const bytes = encodeCodes(codes, codes.length, bits);
        const cut = bytes.subarray(0, Math.floor(share * bytes.byteLength));
        if (cut.byteLength === bytes.byteLength) return;
        tried++;
        if (judge(cut, codes.length, bits) !== 'refused') accepted++;
      }),
      { numRuns: 200 },
    );
    // There is no checksum: a truncated stream can end, by chance, like a complete one.
    expect(accepted / tried).toBeLessThan(0.01);
  });

  it('refuses trailing data', () => {
    fc.assert(
      fc.property(anyCodes, fc.uint8Array({ minLength: 1, maxLength: 9 }), ({ bits, codes }, more) => {
        const bytes = encodeCodes(codes, codes.length, bits);
        const longer = new Uint8Array([...bytes, ...more]);
        const result = judge(longer, codes.length, bits);
        if (result !== 'refused') expect(result).not.toEqual(codes);
      }),
    );
  });

  it('fails only with TESSERA_CODEC, however the data is damaged', () => {
    fc.assert(
      fc.property(damaged, ([{ bits, codes }, edits]) => {
        const bytes = encodeCodes(codes, codes.length, bits);
        for (const [place, value] of edits) bytes[place % bytes.length] = value;
        judge(bytes, codes.length, bits);
      }),
      { numRuns: 500 },
    );
  });

  it('fails only with TESSERA_CODEC for arbitrary bytes', () => {
    const header = fc.tuple(fc.oneof(fc.nat(PRESET_COUNT + 3), fc.nat(31)), fc.nat(7));
    fc.assert(
      fc.property(
        header,
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(2000),
        fc.constantFrom(...BITS),
        (head, rest, n, bits) => {
          judge(Uint8Array.of(head[0] | (head[1] << 5), ...rest), n, bits);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('refuses data for another number of codes', () => {
    const codes = mapCodes(6000, 4, 0.5, 0.5, 5);
    const bytes = encodeCodes(codes, 6000, 4);
    for (const n of [0, 1, 5998, 5999, 6001, 6002, 60_000]) expect(judge(bytes, n, 4)).toBe('refused');
  });

  it('refuses a large number of codes before it allocates memory for them', () => {
    const claim = Uint8Array.of(1 | (7 << 5), 0xff, 0xff, 0xff, 0xff, 0x0f);
    expect(judge(claim, 1000, 4)).toBe('refused');
    expect(judge(new Uint8Array(1_000_000), 1000, 4)).toBe('refused');
  });

  it.each(frozen)('reads the frozen sample of form $form, $n codes of $bits bits', (sample) => {
    const { n, bits, codes_deflated, encoded } = sample;
    const codes = inflateRawSync(Buffer.from(codes_deflated, 'base64'));
    expect(decodeCodes(Uint8Array.from(Buffer.from(encoded, 'base64')), n, bits)).toEqual(new Uint8Array(codes));
  });
});
