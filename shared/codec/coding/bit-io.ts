import { corrupt } from '../corrupt.ts';

/** Padding bytes that must follow the data of a `BitReader`, since it reads 32 bits at a time. */
export const READ_AHEAD = 4;

/** Reads fields least significant bit first. Reading past the padding throws a RangeError, which callers turn into TESSERA_CODEC. */
export class BitReader {
  readonly view: DataView;
  /** Next bit. */
  bit: number;

  /** `view` holds the data and `READ_AHEAD` more bytes. */
  constructor(view: DataView, bit: number) {
    this.view = view;
    this.bit = bit;
  }

  /** The next field of at most 25 bits. */
  take(width: number): number {
    const value = (this.view.getUint32(this.bit >>> 3, true) >>> (this.bit & 7)) & ((1 << width) - 1);
    this.bit += width;
    return value;
  }

  /** A field of more than 25 bits would need two reads. */
  takeLong(width: number): number {
    if (width <= 16) return this.take(width);
    const low = this.take(16);
    return low + this.take(width - 16) * 65536;
  }

  /** Throws unless only zero bits are left before byte `end`. */
  finish(end: number): void {
    const left = end * 8 - this.bit;
    if (left < 0) throw corrupt('it ends early');
    if (left >= 8 || this.take(left) !== 0) throw corrupt('something follows its end');
  }
}

/** Writes fields least significant bit first into a buffer that is long enough. */
export class BitWriter {
  readonly bytes: Uint8Array;
  at: number;
  #pending = 0;
  #held = 0;

  /** Continues at `bit` of the buffer; bits before it in the same byte are kept, those after it are zero. */
  constructor(bytes: Uint8Array, bit: number) {
    this.bytes = bytes;
    this.at = bit >>> 3;
    this.#held = bit & 7;
    this.#pending = this.#held > 0 ? bytes[this.at]! : 0;
  }

  /** A field of at most 16 bits. */
  put(value: number, width: number): void {
    this.#pending |= value << this.#held;
    this.#held += width;
    while (this.#held >= 8) {
      this.bytes[this.at++] = this.#pending;
      this.#pending >>>= 8;
      this.#held -= 8;
    }
  }

  /** A field of at most 32 bits. */
  putLong(value: number, width: number): void {
    if (width <= 16) this.put(value, width);
    else {
      this.put(value & 0xffff, 16);
      this.put(value >>> 16, width - 16);
    }
  }

  /** Fills the last byte with zeros; returns the byte after the data. */
  finish(): number {
    if (this.#held > 0) this.bytes[this.at++] = this.#pending;
    this.#held = 0;
    this.#pending = 0;
    return this.at;
  }
}
