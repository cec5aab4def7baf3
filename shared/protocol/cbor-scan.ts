/**
 * Validates CBOR (RFC 8949) without building anything, so that only harmless input reaches the decoder:
 *
 *     item    = unsigned | negative | bytes | text | array | map | simple       definite lengths only
 *     map     = (text item)*                                               no other keys: decoders disagree about them
 *     simple  = false | true | null | undefined | float16 | float32 | float64
 *
 * Tags, indefinite lengths, 64-bit negative integers and other simple values are refused: no message of the protocol
 * has them, and decoders treat them in surprising ways (a tag may compile a function; the lone byte ff becomes {}).
 * Byte and text strings are skipped, so the cost grows with the number of items, not with the size of tensors.
 */

/** Limits of one CBOR body: how deep items nest and how many there are in all. */
export interface CborLimits {
  readonly depth: number;
  readonly items: number;
}

/** Why `bytes` is not exactly one CBOR item inside `limits`, or undefined where it is. */
export function scanCbor(bytes: Uint8Array, limits: CborLimits): string | undefined {
  /** Items still to come at each open level; maps count keys and values. */
  const open: number[] = [1];
  /** Which of these levels are maps; in a map a key is expected whenever an even number of items is left. */
  const maps: boolean[] = [false];
  let at = 0;
  let seen = 0;
  while (open.length > 0) {
    const level = open.length - 1;
    const left = open[level]!;
    if (left === 0) {
      open.pop();
      maps.pop();
      continue;
    }
    open[level] = left - 1;
    seen += 1;
    if (seen > limits.items) return `more than ${limits.items} items`;
    if (at >= bytes.length) return 'ends too early';
    const first = bytes[at]!;
    const major = first >> 5;
    const info = first & 0x1f;
    const extra = info < 24 ? 0 : info < 28 ? 1 << (info - 24) : -1;
    if (extra < 0) return info === 31 ? 'has an indefinite length' : 'has a reserved length';
    if (at + 1 + extra > bytes.length) return 'ends too early';
    let argument = info;
    if (extra > 0) {
      argument = 0;
      for (let k = 1; k <= extra; k++) argument = argument * 256 + bytes[at + k]!;
    }
    at += 1 + extra;
    if (maps[level] && left % 2 === 0 && major !== 3) return 'has a key that is no text';
    if (major === 1 && extra === 8) return 'has a negative integer of 64 bits';
    if (major === 2 || major === 3) {
      if (argument > bytes.length - at) return 'ends too early';
      at += argument;
    } else if (major === 4 || major === 5) {
      const children = major === 4 ? argument : argument * 2;
      // Every item takes at least a byte, so a larger count than the remaining bytes is false.
      if (children > bytes.length - at) return 'ends too early';
      if (open.length > limits.depth) return `nests deeper than ${limits.depth}`;
      open.push(children);
      maps.push(major === 5);
    } else if (major === 6) {
      return 'has a tag';
    } else if (major === 7 && (info < 20 || info === 24)) {
      return 'has an unknown simple value';
    }
  }
  return at === bytes.length ? undefined : 'has bytes after its end';
}
