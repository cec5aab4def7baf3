import { Bomb, type Tree } from './trees.ts';

/** A CBOR writer that writes anything, and a reader of the plain subset to compare with (RFC 8949). */

function head(major: number, argument: number): Uint8Array {
  const first = major << 5;
  if (argument < 24) return Uint8Array.of(first | argument);
  if (argument < 0x100) return Uint8Array.of(first | 24, argument);
  const bytes = new Uint8Array(argument < 0x10000 ? 3 : argument < 0x100000000 ? 5 : 9);
  const view = new DataView(bytes.buffer);
  bytes[0] = first | (bytes.length === 3 ? 25 : bytes.length === 5 ? 26 : 27);
  if (bytes.length === 3) view.setUint16(1, argument);
  else if (bytes.length === 5) view.setUint32(1, argument);
  else view.setBigUint64(1, BigInt(argument));
  return bytes;
}

function float(value: number): Uint8Array {
  const bytes = new Uint8Array(9);
  bytes[0] = 0xfb;
  new DataView(bytes.buffer).setFloat64(1, value);
  return bytes;
}

/** CBOR of a tree: whole numbers within 2^53 as integers, all others as doubles; a bomb as arrays of one. */
export function cborOf(tree: Tree): Uint8Array {
  const pieces: Uint8Array[] = [];
  const write = (item: Tree): void => {
    if (typeof item === 'number') {
      const whole = Number.isSafeInteger(item) && !Object.is(item, -0);
      pieces.push(!whole ? float(item) : item < 0 ? head(1, -1 - item) : head(0, item));
    } else if (typeof item === 'string') {
      const text = Buffer.from(item);
      pieces.push(head(3, text.length), text);
    } else if (item instanceof Uint8Array) pieces.push(head(2, item.length), item);
    else if (item instanceof Bomb) pieces.push(new Uint8Array(item.depth).fill(0x81), Uint8Array.of(0xf6));
    else if (Array.isArray(item)) {
      pieces.push(head(4, item.length));
      for (const inner of item) write(inner);
    } else if (typeof item === 'object' && item !== null) {
      const entries = Object.entries(item);
      pieces.push(head(5, entries.length));
      for (const [key, inner] of entries) {
        write(key);
        write(inner);
      }
    } else pieces.push(Uint8Array.of(item === true ? 0xf5 : item === false ? 0xf4 : item === null ? 0xf6 : 0xf7));
  };
  write(tree);
  return new Uint8Array(Buffer.concat(pieces));
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** What one CBOR item says, written straight from the RFC; for input that is known to be well-formed and shallow. */
export function readCbor(bytes: Uint8Array): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const item = (): unknown => {
    const first = bytes[at++]!;
    const [major, info] = [first >> 5, first & 31];
    const width = info < 24 ? 0 : 1 << (info - 24);
    let argument = info;
    if (width > 0) {
      argument = 0;
      for (let k = 0; k < width; k++) argument = argument * 256 + bytes[at + k]!;
    }
    const start = at;
    at += width;
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1 - argument;
      case 2:
      case 3: {
        const piece = bytes.subarray(at, at + argument);
        at += argument;
        return major === 2 ? piece : new TextDecoder('utf-8', { ignoreBOM: true }).decode(piece);
      }
      case 4:
        return Array.from({ length: argument }, item);
      case 5: {
        const entries = Array.from({ length: argument }, () => [item(), item()] as const);
        return Object.fromEntries(entries.map(([key, value]) => [String(key), value]));
      }
      default:
        if (info === 25) return half(view.getUint16(start));
        if (info === 26) return view.getFloat32(start);
        if (info === 27) return view.getFloat64(start);
        return info === 20 ? false : info === 21 ? true : info === 22 ? null : undefined;
    }
  };
  return item();
}
