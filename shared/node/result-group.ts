import type { ResultMessage } from '../protocol/messages/work.ts';
import type { PartOutcome } from './executor-types.ts';

/**
 * Overhead of CBOR: per message, and per tensor besides its bytes (names, box, shape, codec; boxes have at most 8
 * axes).
 */
const MESSAGE_OVERHEAD = 512;
const REGION_OVERHEAD = 320;

/**
 * Combines the finished parts of one work message into few messages, as a small CPU's cost is per message, not per
 * byte.
 * 1. Every outcome that was added leaves exactly once, in a batch returned by `add` or `rest`.
 * 2. A batch has at most `limitBytes`, unless it is a single larger part.
 * 3. Errors leave at once, by themselves, since central then sends the part to another node.
 */
export class ResultGroup {
  readonly #limitBytes: number;
  #tiles: ResultMessage['tiles'] = [];
  #bytes = MESSAGE_OVERHEAD;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Adds an outcome; returns the batches to be sent now. */
  add(outcome: PartOutcome): ResultMessage['tiles'][] {
    if ('error' in outcome) return [[{ t_id: outcome.t_id, error: outcome.error }]];
    const batches: ResultMessage['tiles'][] = [];
    const bytes = partBytes(outcome);
    if (this.#tiles.length > 0 && this.#bytes + bytes > this.#limitBytes) batches.push(this.#flush());
    this.#tiles.push({ t_id: outcome.t_id, out: [...outcome.out], compute_ms: outcome.compute_ms });
    this.#bytes += bytes;
    if (this.#bytes >= this.#limitBytes) batches.push(this.#flush());
    return batches;
  }

  /** The remaining outcomes when the work is done; undefined if there are none. */
  rest(): ResultMessage['tiles'] | undefined {
    return this.#tiles.length === 0 ? undefined : this.#flush();
  }

  #flush(): ResultMessage['tiles'] {
    const tiles = this.#tiles;
    this.#tiles = [];
    this.#bytes = MESSAGE_OVERHEAD;
    return tiles;
  }
}

function partBytes(outcome: Extract<PartOutcome, { out: unknown }>): number {
  let bytes = 64;
  for (const region of outcome.out) bytes += region.d.byteLength + REGION_OVERHEAD + region.tensor.length;
  return bytes;
}
