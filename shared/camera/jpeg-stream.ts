/**
 * Splits a stream of JPEG files, one after another, as ffmpeg (`-f mjpeg -`) and rpicam-vid (`--codec mjpeg -o -`)
 * write it. Markers are parsed (ITU-T T.81 annex B), because a search for the end marker alone would stop inside the
 * thumbnail of an EXIF header:
 *
 *     picture = SOI segment* scan+ EOI
 *     segment = FF marker length(2, big endian, counts itself) bytes      skipped without looking inside
 *     scan    = SOS segment, then data in which FF is followed by 00, by RST0-7, or by the next marker
 *
 * States: seeking an SOI -> between markers <-> inside scan data -> picture done -> seeking.
 * Invariants: 1. the pictures do not depend on how the stream is cut into chunks. 2. Less than
 * `maxBytes` is held between two chunks. 3. After damage the next whole picture is found; what lay before it is counted, never kept.
 */
export class JpegStream {
  /** Bytes that belonged to no picture: text between pictures, damage, pictures over the limit. */
  skippedBytes = 0;

  readonly #maxBytes: number;
  #buffer = new Uint8Array(256 * 1024);
  #length = 0;
  /** Everything before this offset has been parsed; 0 is the start of the picture, if one was found. */
  #at = 0;
  #state: 'seeking' | 'marker' | 'scan' = 'seeking';

  /** `maxBytes`: a longer picture is damage or an attack; it is skipped. */
  constructor(maxBytes = 32 * 2 ** 20) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes held, of the picture that is under way. */
  get pending(): number {
    return this.#length;
  }

  /** Takes the next bytes and returns the pictures that they complete, each a copy of its own. */
  push(chunk: Uint8Array): Uint8Array[] {
    const pictures: Uint8Array[] = [];
    this.#append(chunk);
    while (this.#step(pictures)) {}
    return pictures;
  }

  /** Takes one step; false when more bytes are needed. */
  #step(pictures: Uint8Array[]): boolean {
    if (this.#state === 'seeking') return this.#seek();
    // No step looks beyond the limit, so what is over it does not depend on the chunks either.
    const end = Math.min(this.#length, this.#maxBytes);
    if (this.#state === 'scan' ? this.#scan(end) : this.#marker(end, pictures)) return true;
    if (this.#length < this.#maxBytes) return false;
    this.#drop(this.#maxBytes);
    return true;
  }

  /** Drops what lies before the next `FF D8 FF`: no picture begins otherwise. */
  #seek(): boolean {
    const bytes = this.#buffer.subarray(0, this.#length);
    let start = 0;
    for (;;) {
      start = bytes.indexOf(0xff, start);
      if (start < 0) {
        this.#drop(this.#length);
        return false;
      }
      if (start + 2 >= this.#length) {
        // Might be a start whose rest has not come yet.
        if (start + 1 < this.#length && bytes[start + 1] !== SOI) {
          start++;
          continue;
        }
        this.#drop(start);
        return false;
      }
      if (bytes[start + 1] === SOI && bytes[start + 2] === 0xff) break;
      start++;
    }
    this.#drop(start);
    this.#at = 2;
    this.#state = 'marker';
    return true;
  }

  #marker(end: number, pictures: Uint8Array[]): boolean {
    const bytes = this.#buffer;
    let at = this.#at;
    if (at >= end) return false;
    if (bytes[at] !== 0xff) return this.#damage(at);
    // Any number of FF may fill the space before a marker.
    while (at < end && bytes[at] === 0xff) at++;
    if (at >= end) return false;
    const marker = bytes[at]!;
    if (marker === EOI) {
      pictures.push(bytes.slice(0, at + 1));
      this.#shift(at + 1);
      this.#state = 'seeking';
      return true;
    }
    // A start inside a picture: the one under way was cut off, the next one begins.
    if (marker === SOI) return this.#damage(at - 1);
    if (marker === 0x00) return this.#damage(at);
    if (isAlone(marker)) {
      this.#at = at + 1;
      return true;
    }
    if (at + 2 >= end) return false;
    const size = bytes[at + 1]! * 256 + bytes[at + 2]!;
    if (size < 2) return this.#damage(at);
    if (at + 1 + size > end) return false;
    this.#at = at + 1 + size;
    if (marker === SOS) this.#state = 'scan';
    return true;
  }

  #scan(end: number): boolean {
    const bytes = this.#buffer.subarray(0, end);
    for (let at = this.#at; ; at += 2) {
      const found = bytes.indexOf(0xff, at);
      if (found < 0 || found + 1 >= end) {
        this.#at = found < 0 ? end : found;
        return false;
      }
      const next = bytes[found + 1]!;
      at = found;
      if (next === 0x00 || (next >= RST0 && next <= RST7)) continue;
      this.#at = found;
      this.#state = 'marker';
      return true;
    }
  }

  /** Gives up the picture under way. What was parsed is skipped as a whole, so that no thumbnail in it is taken for a picture. */
  #damage(at: number): boolean {
    this.#drop(at);
    return true;
  }

  #drop(count: number): void {
    this.skippedBytes += count;
    this.#shift(count);
    this.#state = 'seeking';
  }

  #shift(count: number): void {
    this.#buffer.copyWithin(0, count, this.#length);
    this.#length -= count;
    this.#at = 0;
  }

  #append(chunk: Uint8Array): void {
    const needed = this.#length + chunk.byteLength;
    if (needed > this.#buffer.byteLength) {
      const larger = new Uint8Array(Math.max(needed, this.#buffer.byteLength * 2));
      larger.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = larger;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = needed;
  }
}

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const RST0 = 0xd0;
const RST7 = 0xd7;

/** Markers without a length: TEM and RST. */
function isAlone(marker: number): boolean {
  return marker === 0x01 || (marker >= RST0 && marker <= RST7);
}
