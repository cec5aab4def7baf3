import { clip, decodeClipCodes, encodeClipCodes } from '../../shared/codec/clip.ts';
import { ClipQuantiser } from '../../shared/codec/clip-quantiser.ts';
import { bytesOf } from '../../shared/codec/floats.ts';
import type { ClipSpec } from '../../shared/codec/spec.ts';
import type { TensorSpec } from '../../shared/tensor/tensor.ts';
import { entropyBytes, type FeatureMap, quantile, tilesOf } from './feature-maps.ts';
import { RIVALS, type Rival } from './rivals.ts';

/** Fewest repetitions of a measurement. */
const REPEATS = 8;
const RIVAL_MS = 3;

/** As ReLU leaves a map; clipped as retraining leaves it, 90 % zeros; before ReLU, with hardly a zero. */
export const KINDS = ['relu', 'sparse', 'dense'] as const;
/** A kind of map. */
export type Kind = (typeof KINDS)[number];

/** One map of one kind in the tiles of one grid. */
export interface Row {
  readonly network: string;
  readonly cut: string;
  readonly picture: string;
  readonly shape: readonly number[];
  readonly kind: Kind;
  readonly grid: string;
  readonly zeros: number;
  readonly raw: number;
  readonly entropy: number;
  readonly bytes: number;
  readonly of_entropy: number;
  readonly of_raw: number;
  /** Of each rival, over the same tiles and from the same codes: bytes, seconds to encode and to decode. */
  readonly rivals: Readonly<
    Record<string, { readonly bytes: number; readonly encode: number; readonly decode: number }>
  >;
  /** Seconds for all tiles: fp32 to bytes in JavaScript; codes to bytes; bytes to codes; bytes to fp32. */
  readonly seconds: {
    readonly encode: number;
    readonly encode_codes: number;
    readonly decode: number;
    readonly decode_values: number;
  };
}

/**
 * Seconds for all parts together: each part is timed several times in a row and its shortest time counts, since other
 * programs use the machine too.
 */
function fastest<T>(parts: readonly T[], action: (part: T, index: number) => void, timeMs: number): number {
  let sum = 0;
  parts.forEach((part, index) => {
    let best = Number.POSITIVE_INFINITY;
    const end = performance.now() + timeMs / parts.length;
    for (let i = 0; i < Math.min(REPEATS, timeMs) || performance.now() < end; i++) {
      const start = performance.now();
      action(part, index);
      best = Math.min(best, performance.now() - start);
    }
    sum += best;
  });
  return sum / 1000;
}

/**
 * Bounds for a network that was not retrained, derived from the map itself. Undefined where the kind does not apply.
 */
function boundsOf(values: Float32Array, kind: Kind, bits: number): ClipSpec | undefined {
  const b = quantile(values, kind === 'sparse' ? 0.999 : 0.995);
  const a = kind === 'dense' ? quantile(values, 0.005) : kind === 'sparse' ? Math.max(0, quantile(values, 0.9)) : 0;
  if (!(b > a)) return undefined;
  return { name: 'clip', a, b, bits, ...(kind === 'dense' ? { base: a } : {}) };
}

/** The type of a tile that is encoded. */
export function specOf(tile: { readonly length: number }): TensorSpec {
  return { dtype: 'float32', shape: [tile.length] };
}

/** Bytes and speed of a map's tiles, and of the rivals; undefined where the kind does not apply to the map. */
export function measure(map: FeatureMap, kind: Kind, bits: number, grid: number, timeMs: number): Row | undefined {
  const codec = boundsOf(map.values, kind, bits);
  if (codec === undefined) return undefined;
  const codes = new Uint8Array(map.values.length);
  new ClipQuantiser(codec).quantise(map.values, codes);
  const tiles = tilesOf(map.values, map.shape, grid, grid);
  const codeTiles = tilesOf(codes, map.shape, grid, grid);
  const encoded = tiles.map((tile) => clip.encode(bytesOf(tile), specOf(tile), codec));
  encoded.forEach((bytes, t) => {
    const decoded = decodeClipCodes(bytes, codeTiles[t]!.length, codec);
    if (decoded.some((code, i) => code !== codeTiles[t]![i]))
      throw new Error(`${map.network} ${map.cut}: codes differ`);
  });
  const sum = (parts: readonly Uint8Array[]): number => parts.reduce((total, part) => total + part.byteLength, 0);
  const bytes = sum(encoded);
  const raw = 4 * codes.length;
  const entropy = entropyBytes(codes);
  return {
    network: map.network,
    cut: map.cut,
    picture: map.picture,
    shape: map.shape,
    kind,
    grid: `${grid}x${grid}`,
    zeros: codes.filter((code) => code === 0).length / codes.length,
    raw,
    entropy: Math.round(entropy),
    bytes,
    of_entropy: bytes / entropy,
    of_raw: bytes / raw,
    rivals: Object.fromEntries(RIVALS.map((rival) => [rival.name, measureRival(rival, codeTiles, bits)])),
    seconds: {
      encode: fastest(tiles, (tile) => clip.encode(bytesOf(tile), specOf(tile), codec), timeMs),
      encode_codes: fastest(codeTiles, (tile) => encodeClipCodes(tile, codec), timeMs),
      decode: fastest(encoded, (part, t) => decodeClipCodes(part, codeTiles[t]!.length, codec), timeMs),
      decode_values: fastest(encoded, (part, t) => clip.decode(part, specOf(tiles[t]!), codec), timeMs),
    },
  };
}

function measureRival({ name, encode, decode }: Rival, tiles: readonly Uint8Array[], bits: number) {
  const encoded = tiles.map((tile) => encode(tile, bits));
  encoded.forEach((bytes, t) => {
    const codes = decode(bytes, tiles[t]!.length, bits);
    if (tiles[t]!.some((code, i) => code !== codes[i])) throw new Error(`${name} loses something`);
  });
  return {
    bytes: encoded.reduce((total, part) => total + part.byteLength, 0),
    encode: fastest(tiles, (tile) => encode(tile, bits), RIVAL_MS),
    decode: fastest(encoded, (part, t) => decode(part, tiles[t]!.length, bits), RIVAL_MS),
  };
}
