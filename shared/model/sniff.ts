/** What a frame's payload is, told by its first bytes. */
export type PayloadKind = 'jpeg' | 'png' | 'cbor';

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Tells a JPEG, a PNG and a CBOR map (the frame envelope) apart by their magic bytes; undefined for all else.
 * JPEG: ff d8 ff (ITU T.81 B.1.1.3). PNG: its eight-byte signature (RFC 2083 3.1). CBOR: a map of any length, that is
 * a first byte of major type 5 (a0..bb or bf), with or without the self-describing tag d9 d9f7 (RFC 8949 3.4.6).
 */
export function sniff(bytes: Uint8Array): PayloadKind | undefined {
  if (bytes.length < 2) return undefined;
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'jpeg';
  if (PNG.every((byte, index) => bytes[index] === byte)) return 'png';
  const first = bytes[0] === 0xd9 && bytes[1] === 0xd9 && bytes[2] === 0xf7 ? bytes[3] : bytes[0];
  if (first !== undefined && ((first >= 0xa0 && first <= 0xbb) || first === 0xbf)) return 'cbor';
  return undefined;
}

const ascii = (bytes: Uint8Array, start: number, end: number) => String.fromCharCode(...bytes.subarray(start, end));

/** What a payload that is not accepted looks like, in words for an error. */
export function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'empty';
  const head = ascii(bytes, 0, Math.min(bytes.length, 64));
  if (head.startsWith('GIF8')) return 'a GIF';
  if (head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP') return 'a WebP picture';
  if (head.startsWith('BM')) return 'a BMP picture';
  if (head.startsWith('II*\0') || head.startsWith('MM\0*')) return 'a TIFF picture';
  if (head.slice(4, 8) === 'ftyp')
    return /^(heic|heix|mif1|avif)/.test(head.slice(8)) ? 'a HEIC or AVIF picture' : 'a video';
  if (/^\s*<(\?xml|svg|!doctype)/i.test(head)) return 'text in XML, SVG or HTML';
  if (/^\s*[{[]/.test(head)) return 'JSON';
  const start = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `${bytes.length} bytes that begin with ${start}`;
}

/**
 * Whether a PNG holds an animation: an `acTL` chunk before the first `IDAT` (APNG 1.0). Reads chunk headers only.
 */
export function isAnimatedPng(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = PNG.length; offset + 8 <= bytes.length; ) {
    const type = ascii(bytes, offset + 4, offset + 8);
    if (type === 'acTL') return true;
    if (type === 'IDAT') return false;
    offset += 12 + view.getUint32(offset);
  }
  return false;
}
