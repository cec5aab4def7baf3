import { corrupt } from '../corrupt.ts';

/** Codes of `bits` bits side by side, least significant bit first. */

/** Bytes that n packed codes take. */
export function packedLength(n: number, bits: number): number {
  return Math.ceil((n * bits) / 8);
}

/** Packs codes[0..n) into `out` from byte `at`. */
export function packCodes(codes: Uint8Array, n: number, bits: number, out: Uint8Array, at: number): void {
  if (bits === 8) {
    out.set(codes.subarray(0, n), at);
    return;
  }
  let pending = 0;
  let held = 0;
  for (let i = 0; i < n; i++) {
    pending |= codes[i]! << held;
    held += bits;
    if (held < 8) continue;
    out[at++] = pending;
    pending >>>= 8;
    held -= 8;
  }
  if (held > 0) out[at] = pending;
}

/** Unpacks out.length codes from bytes[from..], which must end with them. Throws TESSERA_CODEC. */
export function unpackCodes(bytes: Uint8Array, from: number, bits: number, out: Uint8Array): void {
  const n = out.length;
  if (bytes.byteLength - from !== packedLength(n, bits)) throw corrupt('its length does not match its codes');
  if (bits === 8) {
    out.set(bytes.subarray(from));
    return;
  }
  const mask = (1 << bits) - 1;
  let pending = 0;
  let held = 0;
  let at = from;
  for (let i = 0; i < n; i++) {
    if (held < bits) {
      pending |= bytes[at++]! << held;
      held += 8;
    }
    out[i] = pending & mask;
    pending >>>= bits;
    held -= bits;
  }
  if (pending !== 0) throw corrupt('something follows its end');
}
