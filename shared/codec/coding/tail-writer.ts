/** Bytes in front of the data that a `TailWriter` may overwrite: it stores four at a time. */
export const WRITE_AHEAD = 4;

/**
 * Writes bits from the last to the first: each field goes in front of what is there, so that a reader who runs forward
 * gets them in the opposite order. An ANS coder needs this, as it decodes in the opposite order of encoding.
 *
 *   stream = padding (0..7 bits) field*      fields least significant bit first; the stream ends at a byte's end
 */
export class TailWriter {
  readonly view: DataView;
  /** First byte written so far; `WRITE_AHEAD` bytes in front of it may be overwritten. */
  at: number;
  /** Bits that are not stored yet: the lowest `held` (0..7) of `pending`; those above mean nothing. */
  pending = 0;
  held = 0;

  /** Writes into `bytes` from byte `end` backwards; the caller sees to it that there is room. */
  constructor(bytes: Uint8Array, end: number) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = end;
  }

  /** Puts a field of at most 24 bits in front. */
  put(value: number, width: number): void {
    this.pending = (this.pending << width) | value;
    this.held += width;
    this.view.setUint32(this.at - 4, this.pending << (32 - this.held), true);
    this.at -= this.held >> 3;
    this.held &= 7;
  }

  /** Writes out what is pending; returns the bits of padding (0..7) in front. The stream begins at `at`. */
  finish(): number {
    const padding = (8 - this.held) & 7;
    this.put(0, padding);
    return padding;
  }
}
