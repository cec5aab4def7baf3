import * as zlib from 'node:zlib';
import { packCodes, packedLength } from '../../shared/codec/coding/pack.ts';
import { bestWidth, putPairs, toPairs } from '../../shared/codec/coding/run-length.ts';

/** Another way to make bytes of codes. Sizes are without any header: rivals get that for nothing. */
export interface Rival {
  readonly name: string;
  encode(codes: Uint8Array, bits: number): Uint8Array;
}

function packed(codes: Uint8Array, bits: number): Uint8Array {
  const bytes = new Uint8Array(packedLength(codes.length, bits));
  packCodes(codes, codes.length, bits, bytes, 0);
  return bytes;
}

function runLength(codes: Uint8Array, bits: number): Uint8Array {
  const pairs = toPairs(codes);
  const best = bestWidth(pairs, bits);
  const bytes = new Uint8Array(Math.ceil(best.bits / 8));
  putPairs(pairs, bits, best.width, bytes, 0);
  return bytes;
}

/** Of the codes packed and a byte each, whichever the library makes less of. */
function smaller(codes: Uint8Array, bits: number, compress: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const [a, b] = [compress(packed(codes, bits)), compress(codes)];
  return a.length <= b.length ? a : b;
}

type Zstd = (bytes: Uint8Array, options?: { params?: Record<number, number> }) => Uint8Array;

/** zstd came with Node 22.15; before, there is none to compare with. */
const zstdCompressSync = (zlib as unknown as { zstdCompressSync?: Zstd }).zstdCompressSync;
const ZSTD_LEVEL = (zlib.constants as unknown as { ZSTD_c_compressionLevel?: number }).ZSTD_c_compressionLevel;

function zstd(level: number): Rival[] {
  if (zstdCompressSync === undefined || ZSTD_LEVEL === undefined) return [];
  const params = { [ZSTD_LEVEL]: level };
  return [
    { name: `zstd ${level}`, encode: (codes, bits) => smaller(codes, bits, (b) => zstdCompressSync(b, { params })) },
  ];
}

/** Packed bits, ADCNN's run-length pairs, and what the platform has. */
export const RIVALS: readonly Rival[] = [
  { name: 'packed', encode: packed },
  { name: 'run length', encode: runLength },
  ...[1, 6].map((level) => ({
    name: `deflate ${level}`,
    encode: (codes: Uint8Array, bits: number) => smaller(codes, bits, (b) => zlib.deflateRawSync(b, { level })),
  })),
  ...zstd(1),
  ...zstd(3),
  ...zstd(19),
];
