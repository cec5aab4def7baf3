/**
 * Follows the packets of a byte stream by their fixed headers alone (MQTT 3.1.1 section 2.2):
 *
 *   packet           = type-and-flags remaining-length body
 *   remaining-length = 1-4 bytes, 7 bits each, least significant first, bit 7 set while more follow
 *
 * A packet above the limit is recognised by its first five bytes, before any of it is buffered.
 */
export class PacketLimit {
  /** The largest packet that passes, bytes, with its header. */
  limit: number;
  /** Bytes of the present packet's body that are still to come. */
  #body = 0;
  /** Bytes of the present fixed header seen so far, its value, and the weight of its next digit. */
  #header = 0;
  #length = 0;
  #weight = 1;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Reads the next bytes; returns what is wrong with a packet that begins in them, or undefined. */
  feed(chunk: Uint8Array): string | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#body > 0) {
        const step = Math.min(this.#body, chunk.length - at);
        this.#body -= step;
        at += step;
        continue;
      }
      const byte = chunk[at]!;
      at += 1;
      this.#header += 1;
      if (this.#header === 1) continue;
      this.#length += (byte & 0x7f) * this.#weight;
      this.#weight *= 128;
      if ((byte & 0x80) !== 0) {
        if (this.#header === 5) return 'a packet length of more than four bytes';
        continue;
      }
      const size = this.#header + this.#length;
      if (size > this.limit) return `a packet of ${size} bytes, the limit is ${this.limit}`;
      this.#body = this.#length;
      this.#header = 0;
      this.#length = 0;
      this.#weight = 1;
    }
    return undefined;
  }
}
