import type { ResultMessage } from '../protocol/messages/work.ts';
import type { TileOutcome } from './executor-types.ts';

/** What CBOR adds: per message, and per tensor besides its bytes (names, box, shape, codec; boxes have at most 8 axes). */
const MESSAGE_OVERHEAD = 512;
const REGION_OVERHEAD = 320;

/**
 * Gathers the finished tiles of one work message: messages, not bytes, are what a small CPU pays for.
 *
 * 1. Every outcome added leaves exactly once, in a batch returned by `add` or `rest`.
 * 2. A batch has at most `limitBytes`, unless it is one tile that alone is larger.
 * 3. Errors leave at once, by themselves, since the sender re-sends as soon as it hears.
 */
export class ResultGroup {
  readonly #limitBytes: number;
  #tiles: ResultMessage['tiles'] = [];
  #bytes = MESSAGE_OVERHEAD;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Takes an outcome in; returns the batches that are to be sent now. */
  add(outcome: TileOutcome): ResultMessage['tiles'][] {
    if ('error' in outcome) return [[{ t_id: outcome.t_id, error: outcome.error }]];
    const batches: ResultMessage['tiles'][] = [];
    const bytes = tileBytes(outcome);
    if (this.#tiles.length > 0 && this.#bytes + bytes > this.#limitBytes) batches.push(this.#flush());
    this.#tiles.push({ t_id: outcome.t_id, out: [...outcome.out], compute_ms: outcome.compute_ms });
    this.#bytes += bytes;
    if (this.#bytes >= this.#limitBytes) batches.push(this.#flush());
    return batches;
  }

  /** What has not left yet, when the work is done; undefined for nothing. */
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

function tileBytes(outcome: Extract<TileOutcome, { out: unknown }>): number {
  let bytes = 64;
  for (const region of outcome.out) bytes += region.d.byteLength + REGION_OVERHEAD + region.tensor.length;
  return bytes;
}
