/**
 * Reads the first scalars of a CBOR map (RFC 8949) without decoding the rest, so that the header of a message costs a
 * few bytes whatever its size. The grammar is that of cbor-scan.ts; reading ends at anything else.
 */

/** Most entries, and most bytes of a text, that are read; every header of the protocol has fewer. */
const ENTRIES = 16;
const TEXT_BYTES = 1024;

const utf8 = new TextDecoder();

/** Texts and integers of a map up to its first value of another kind; empty for anything but a map. */
export function peekCbor(bytes: Uint8Array): Readonly<Record<string, string | number>> {
  const found: Record<string, string | number> = Object.create(null);
  const head = itemAt(bytes, 0);
  if (head === undefined || head.major !== 5) return found;
  let at = head.next;
  for (let k = 0; k < Math.min(ENTRIES, head.argument); k++) {
    const key = textAt(bytes, at);
    if (key === undefined) return found;
    const value = itemAt(bytes, key.next);
    if (value === undefined) return found;
    if (value.major === 0) found[key.text] = value.argument;
    else if (value.major === 3) {
      const text = textAt(bytes, key.next);
      if (text === undefined) return found;
      found[key.text] = text.text;
      at = text.next;
      continue;
    }
    // Simple values and floats have their bytes in the head; they are skipped.
    else if (value.major !== 7 && value.major !== 1) return found;
    at = value.next;
  }
  return found;
}

function itemAt(bytes: Uint8Array, at: number): { major: number; argument: number; next: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const info = first & 0x1f;
  const extra = info < 24 ? 0 : info < 28 ? 1 << (info - 24) : -1;
  if (extra < 0 || at + 1 + extra > bytes.length) return undefined;
  let argument = info;
  if (extra > 0) {
    argument = 0;
    for (let k = 1; k <= extra; k++) argument = argument * 256 + bytes[at + k]!;
  }
  return { major: first >> 5, argument, next: at + 1 + extra };
}

function textAt(bytes: Uint8Array, at: number): { text: string; next: number } | undefined {
  const item = itemAt(bytes, at);
  if (item === undefined || item.major !== 3 || item.argument > TEXT_BYTES) return undefined;
  const next = item.next + item.argument;
  if (next > bytes.length) return undefined;
  return { text: utf8.decode(bytes.subarray(item.next, next)), next };
}
