import type { ResultMessage } from '../protocol/messages/work.ts';

/** Bytes of a CBOR message without its tiles, at most. */
export const MESSAGE_BYTES = 512;
/** Overhead of a tensor besides its bytes (names, box, shape, codec; boxes have at most 8 axes). */
const REGION_OVERHEAD = 320;

/** Bytes of a region in a CBOR message, at most. */
export function regionBytes(region: { readonly tensor: string; readonly d?: Uint8Array }): number {
  return (region.d?.byteLength ?? 0) + REGION_OVERHEAD + region.tensor.length;
}

/**
 * Combines the finished parts of one work message into few messages, as a small CPU's cost is per message, not per
 * byte.
 * 1. Every answer that was added leaves exactly once, in a batch returned by `add` or `rest`.
 * 2. A batch has at most `limitBytes`, unless it is a single larger part.
 * 3. Errors leave at once, by themselves, since central then sends the part to another node.
 */
export class ResultGroup {
  readonly #limitBytes: number;
  #tiles: ResultMessage['tiles'] = [];
  #bytes = MESSAGE_BYTES;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Adds the answer for a part; returns the batches to be sent now. */
  add(answer: ResultMessage['tiles'][number]): ResultMessage['tiles'][] {
    if ('error' in answer) return [[answer]];
    const batches: ResultMessage['tiles'][] = [];
    const bytes = answer.out.reduce((total, region) => total + regionBytes(region), 64);
    if (this.#tiles.length > 0 && this.#bytes + bytes > this.#limitBytes) batches.push(this.#flush());
    this.#tiles.push(answer);
    this.#bytes += bytes;
    if (this.#bytes >= this.#limitBytes) batches.push(this.#flush());
    return batches;
  }

  /** The remaining answers when the work is done; undefined if there are none. */
  rest(): ResultMessage['tiles'] | undefined {
    return this.#tiles.length === 0 ? undefined : this.#flush();
  }

  #flush(): ResultMessage['tiles'] {
    const tiles = this.#tiles;
    this.#tiles = [];
    this.#bytes = MESSAGE_BYTES;
    return tiles;
  }
}
