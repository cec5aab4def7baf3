import fc from 'fast-check';

/**
 * Changes to bytes without knowledge of their format: flips, cuts, repetitions, splices of two samples, and numbers of
 * 1 to 8 bytes replaced by extreme ones. Positions are any number, taken modulo the length.
 */

type Edit =
  | { readonly kind: 'flip'; readonly at: number; readonly value: number }
  | { readonly kind: 'set'; readonly at: number; readonly value: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'remove'; readonly at: number; readonly length: number }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'copy'; readonly at: number; readonly from: number; readonly length: number }
  | { readonly kind: 'splice'; readonly at: number; readonly from: number; readonly other: number }
  | {
      readonly kind: 'number';
      readonly at: number;
      readonly width: number;
      readonly value: bigint;
      readonly le: boolean;
    };

/** Numbers that are critical for lengths, counts and sizes. */
export const EDGES: readonly bigint[] = [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  0xffffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x1fffffffffffffn,
  0x20000000000000n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0xffffffffffffffffn,
];

const at = fc.nat(0x7fffffff);
const some = fc.oneof({ weight: 6, arbitrary: fc.nat(16) }, { weight: 2, arbitrary: fc.nat(300) }, fc.nat(20_000));

const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at, value: fc.nat(255) }),
  fc.record({ kind: fc.constant('set' as const), at, value: fc.nat(255) }),
  fc.record({ kind: fc.constant('insert' as const), at, bytes: fc.uint8Array({ maxLength: 12 }) }),
  fc.record({ kind: fc.constant('remove' as const), at, length: some }),
  fc.record({ kind: fc.constant('cut' as const), at }),
  fc.record({ kind: fc.constant('copy' as const), at, from: at, length: some }),
  fc.record({ kind: fc.constant('splice' as const), at, from: at, other: at }),
  fc.record({
    kind: fc.constant('number' as const),
    at,
    width: fc.constantFrom(1, 2, 3, 4, 8),
    value: fc.constantFrom(...EDGES),
    le: fc.boolean(),
  }),
);

/** A few changes of bytes, most often none or one. */
export const editScript: fc.Arbitrary<readonly Edit[]> = fc.oneof(
  { weight: 5, arbitrary: fc.array(edit, { minLength: 1, maxLength: 3 }) },
  { weight: 2, arbitrary: fc.array(edit, { minLength: 1, maxLength: 16 }) },
);

function numberBytes(value: bigint, width: number, le: boolean): Uint8Array {
  const bytes = Uint8Array.from({ length: width }, (_, k) => Number((value >> BigInt(8 * k)) & 0xffn));
  return le ? bytes : bytes.reverse();
}

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

/** Applies changes; the result never passes `most` bytes. `seeds` are what is spliced with. */
export function applyEdits(
  bytes: Uint8Array,
  script: readonly Edit[],
  seeds: readonly Uint8Array[],
  most: number,
): Uint8Array {
  let now: Uint8Array = bytes.slice();
  for (const one of script) {
    const length = now.length;
    const place = length === 0 ? 0 : one.at % length;
    if (one.kind === 'insert') now = joined(now.subarray(0, place), one.bytes, now.subarray(place));
    else if (one.kind === 'cut') now = now.slice(0, place);
    else if (one.kind === 'remove') now = joined(now.subarray(0, place), now.subarray(place + one.length));
    else if (one.kind === 'copy') {
      const from = length === 0 ? 0 : one.from % length;
      now = joined(now.subarray(0, place), now.subarray(from, from + one.length), now.subarray(place));
    } else if (one.kind === 'splice') {
      const other = seeds[one.other % Math.max(1, seeds.length)] ?? now;
      now = joined(now.subarray(0, place), other.subarray(one.from % Math.max(1, other.length)));
    } else if (length === 0) continue;
    else if (one.kind === 'number')
      now.set(numberBytes(one.value, one.width, one.le).subarray(0, length - place), place);
    else if (one.kind === 'set') now[place] = one.value;
    else now[place]! ^= one.value | 1;
    if (now.length > most) now = now.slice(0, most);
  }
  return now;
}

/** Most bytes of an input where nothing else is said. */
export const MOST_BYTES = 64 * 1024;

/** Samples with a few changes; now and then a sample as it is, and now and then noise. */
export function editedBytes(seeds: readonly Uint8Array[], most: number = MOST_BYTES): fc.Arbitrary<Uint8Array> {
  const sample = fc.constantFrom(...seeds);
  return fc.oneof(
    {
      weight: 40,
      arbitrary: fc.tuple(sample, editScript).map(([one, script]) => applyEdits(one, script, seeds, most)),
    },
    { weight: 2, arbitrary: sample },
    { weight: 2, arbitrary: fc.uint8Array({ maxLength: 64 }) },
  );
}

/** What another arbitrary makes, in one of four cases with changes to its bytes. */
export function thenEdited(made: fc.Arbitrary<Uint8Array>, seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(made, fc.option(editScript, { freq: 3 }))
    .map(([bytes, script]) => (script === null ? bytes : applyEdits(bytes, script, seeds, MOST_BYTES)));
}
