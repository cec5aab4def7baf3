import * as zlib from 'node:zlib';
import { BitReader, READ_AHEAD } from '../../shared/codec/coding/bit-io.ts';
import { packCodes, packedLength, unpackCodes } from '../../shared/codec/coding/pack.ts';
import { bestWidth, putPairs, readPairs, toPairs } from './run-length.ts';

/** Another codec for quantised values, given as one byte each. Sizes are without Tessera's header. */
export interface Rival {
  readonly name: string;
  encode(codes: Uint8Array, bits: number): Uint8Array;
  /** `codes`: how many there are. */
  decode(bytes: Uint8Array, codes: number, bits: number): Uint8Array;
}

function packed(codes: Uint8Array, bits: number): Uint8Array {
  const bytes = new Uint8Array(packedLength(codes.length, bits));
  packCodes(codes, codes.length, bits, bytes, 0);
  return bytes;
}

function runLength(codes: Uint8Array, bits: number): Uint8Array {
  const pairs = toPairs(codes);
  const best = bestWidth(pairs, bits);
  const bytes = new Uint8Array(1 + Math.ceil(best.bits / 8));
  bytes[0] = best.width;
  putPairs(pairs, bits, best.width, bytes, 8);
  return bytes;
}

type Zstd = (bytes: Uint8Array, options?: { params?: Record<number, number> }) => Uint8Array;

/** zstd came with Node 22.15; before, there is none to compare with. */
const { zstdCompressSync, zstdDecompressSync } = zlib as unknown as {
  zstdCompressSync?: Zstd;
  zstdDecompressSync?: Zstd;
};
const ZSTD_LEVEL = (zlib.constants as unknown as { ZSTD_c_compressionLevel?: number }).ZSTD_c_compressionLevel;

function deflate(level: number): Rival {
  return {
    name: `deflate ${level}`,
    encode: (codes) => zlib.deflateRawSync(codes, { level }),
    decode: (bytes) => zlib.inflateRawSync(bytes),
  };
}

function zstd(level: number): Rival[] {
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined || ZSTD_LEVEL === undefined) return [];
  const params = { [ZSTD_LEVEL]: level };
  return [
    {
      name: `zstd ${level}`,
      encode: (codes) => zstdCompressSync(codes, { params }),
      decode: (bytes) => zstdDecompressSync(bytes),
    },
  ];
}

/** Packed bits, ADCNN's run-length pairs, and the compressors of Node.js. */
export const RIVALS: readonly Rival[] = [
  {
    name: 'packed',
    encode: packed,
    decode(bytes, n, bits) {
      const codes = new Uint8Array(n);
      unpackCodes(bytes, 0, bits, codes);
      return codes;
    },
  },
  {
    name: 'run length',
    encode: runLength,
    decode(bytes, n, bits) {
      const codes = new Uint8Array(n);
      const padded = new Uint8Array(bytes.length + READ_AHEAD);
      padded.set(bytes);
      readPairs(new BitReader(new DataView(padded.buffer), 8), bits, bytes[0]!, codes);
      return codes;
    },
  },
  ...[1, 6].map(deflate),
  ...[1, 3, 19].flatMap(zstd),
];
