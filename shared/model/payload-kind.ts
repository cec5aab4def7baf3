/** Kind of a frame's payload. */
export type PayloadKind = 'jpeg' | 'png' | 'cbor';

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * Recognises a JPEG, a PNG or a CBOR map (the frame envelope) by its first bytes; undefined for anything else. JPEG: ff
 * d8 ff (ITU T.81 B.1.1.3). PNG: its eight-byte signature (RFC 2083 3.1). CBOR: a map of any length, that is a first
 * byte of major type 5 (a0..bb or bf), with or without the self-describing tag d9 d9f7 (RFC 8949 3.4.6).
 */
export function payloadKind(bytes: Uint8Array): PayloadKind | undefined {
  if (bytes.length < 2) return undefined;
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'jpeg';
  if (PNG.every((byte, index) => bytes[index] === byte)) return 'png';
  const first = bytes[0] === 0xd9 && bytes[1] === 0xd9 && bytes[2] === 0xf7 ? bytes[3] : bytes[0];
  if (first !== undefined && ((first >= 0xa0 && first <= 0xbb) || first === 0xbf)) return 'cbor';
  return undefined;
}

const ascii = (bytes: Uint8Array, start: number, end: number) => String.fromCharCode(...bytes.subarray(start, end));

/** Bytes that are needed to recognise a payload, also one in text form. */
export const HEAD_BYTES = 4096;

/** Name of a picture's format by its first bytes, also of formats that are not accepted. */
function pictureName(bytes: Uint8Array): string | undefined {
  const kind = payloadKind(bytes);
  if (kind === 'jpeg') return 'a JPEG';
  if (kind === 'png') return 'a PNG';
  const head = ascii(bytes, 0, 64);
  if (head.startsWith('GIF8')) return 'a GIF';
  if (head.startsWith('RIFF') && head.slice(8, 12) === 'WEBP') return 'a WebP picture';
  if (head.startsWith('BM')) return 'a BMP picture';
  if (head.startsWith('II*\0') || head.startsWith('MM\0*')) return 'a TIFF picture';
  if (head.slice(4, 8) !== 'ftyp') return undefined;
  return /^(heic|heix|mif1|avif)/.test(head.slice(8)) ? 'a HEIC or AVIF picture' : 'a video';
}

/** Characters of base64 and base64url, with line breaks. */
const BASE64 = /^[A-Za-z0-9+/_\r\n-]+={0,2}\s*$/;
const BASE64_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Decodes the complete groups of four characters of a base64 text. */
function base64Bytes(text: string): Uint8Array {
  const digits = [
    ...text
      .replace(/[\r\n]/g, '')
      .replace(/-/g, '+')
      .replace(/_/g, '/')
      .slice(0, 64),
  ].map((letter) => BASE64_DIGITS.indexOf(letter));
  const bytes: number[] = [];
  for (let i = 0; i + 3 < digits.length && digits[i + 3]! >= 0; i += 4) {
    const group = (digits[i]! << 18) | (digits[i + 1]! << 12) | (digits[i + 2]! << 6) | digits[i + 3]!;
    bytes.push((group >> 16) & 0xff, (group >> 8) & 0xff, group & 0xff);
  }
  return Uint8Array.from(bytes);
}

/** Describes a picture that was encoded as text: its format and the encoding. */
function writtenOut(head: string): string | undefined {
  const text = head.replace(/^\u00ef\u00bb\u00bf/, '').trim();
  const uri = /^["']?data:[a-z0-9.+/-]*(;[a-z0-9=.-]+)*;base64,/i.exec(text)?.[0];
  if (uri !== undefined)
    return `${pictureName(base64Bytes(text.slice(uri.length))) ?? 'data'} as a data: address in base64`;
  const bare = text.replace(/^["']|["']$/g, '');
  if (bare.length >= 16 && BASE64.test(bare)) {
    const found = pictureName(base64Bytes(bare));
    if (found !== undefined) return `${found} as base64 text`;
    if (/^(ff\s?d8\s?ff|89\s?50\s?4e\s?47)/i.test(bare)) return 'a picture as hexadecimal text';
    if (bare.length >= 64 && /[A-Z]/.test(bare) && /[a-z]/.test(bare) && /\d/.test(bare)) return 'base64 text';
  }
  if (!/^[{["]/.test(text)) return undefined;
  for (const [, value = ''] of text.matchAll(/["'](?:data:[^"',]{0,100},)?([A-Za-z0-9+/_\\-]{16,64})/g)) {
    const found = pictureName(base64Bytes(value.replace(/\\/g, '')));
    if (found !== undefined) return `JSON with ${found} as base64 text`;
  }
  if (/\[\s*(255\s*,\s*216\s*,\s*255|137\s*,\s*80\s*,\s*78\s*,\s*71)\b/.test(text))
    return 'JSON with a picture as a list of numbers';
  return undefined;
}

/** Describes a payload that is not accepted, for an error message. Reads the first `HEAD_BYTES` only. */
export function describeBytes(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'empty';
  const picture = payloadKind(bytes) === undefined ? pictureName(bytes) : undefined;
  if (picture !== undefined) return picture;
  const head = ascii(bytes, 0, Math.min(bytes.length, HEAD_BYTES));
  const written = writtenOut(head);
  if (written !== undefined) return written;
  if (/^\s*<(\?xml|svg|!doctype)/i.test(head)) return 'text in XML, SVG or HTML';
  if (/^\s*[{[]/.test(head)) return 'JSON';
  const start = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `${bytes.length} bytes that begin with ${start}`;
}

/** Advice for a payload that is not accepted. `from`: its origin. */
export function adviceFor(bytes: Uint8Array, from: 'message' | 'file'): string {
  if (bytes.length === 0 && from === 'file') return 'save or download the picture again: the file holds nothing';
  const what = describeBytes(bytes);
  if (/base64|hexadecimal|list of numbers/.test(what))
    return from === 'message'
      ? 'publish the bytes of the picture themselves, without base64, JSON or other text around them'
      : what.endsWith('base64 text') && !what.startsWith('JSON')
        ? 'turn it into the bytes of the picture first: base64 -d FILE > photo.jpg'
        : 'take the picture out of the text first, as bytes in a file of its own';
  if (what === 'a video') return 'send single pictures: ffmpeg -i FILE -f mjpeg - | tessera publish CAMERA -';
  if (what === 'a HEIC or AVIF picture')
    return 'convert it to JPEG first (heif-convert FILE photo.jpg; iPhones: Settings, Camera, Formats, Most Compatible)';
  return from === 'file' ? 'convert it to JPEG or PNG first' : 'send a whole JPEG or PNG picture, or a CBOR envelope';
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
