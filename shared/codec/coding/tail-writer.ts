/**
 * Writes bits from the last to the first: each field goes in front of what is there, so that a reader who runs forward
 * gets them in the opposite order. An ANS coder needs this, as it decodes in the opposite order of encoding.
 *
 *   stream = field* padding (0..7 bits)      fields least significant bit first
 */
export class TailWriter {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #end: number;
  /** First byte written so far; the 4 bytes in front of it may be overwritten. */
  at: number;
  /** Bits that are not stored yet: the lowest `held` (0..7) of `pending`; higher bits are undefined. */
  pending = 0;
  held = 0;

  /** Writes into `bytes` from byte `end` backwards; the caller provides enough room. */
  constructor(bytes: Uint8Array, end: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = end;
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

  /**
   * Moves the written bits so that the first one begins a byte, `at`; returns the bit after the last one, counted from
   * the beginning of the buffer.
   */
  finish(): number {
    const padding = (8 - this.held) & 7;
    this.put(0, padding);
    if (padding === 0) return this.#end * 8;
    const { bytes } = this;
    const last = this.#end - 1;
    for (let i = this.at; i < last; i++) bytes[i] = (bytes[i]! >> padding) | (bytes[i + 1]! << (8 - padding));
    bytes[last] = bytes[last]! >> padding;
    return this.#end * 8 - padding;
  }
}
