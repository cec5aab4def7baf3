import type { JournalEntry, TakenFrame } from './lines.ts';

/** What the ledger writes to; `Journal` is one. */
export interface JournalPort {
  take(frame: TakenFrame, i_id?: string): number;
  accepted(n: number, i_id: string): void;
  leaving(n: number): void;
  ended(n: number): void;
}

/**
 * Follows each frame for each of its models through the coordinator's effects and keeps the journal.
 *
 * frame and model: offered --skipped--> forgotten
 *                  offered --opened, or `settle` at the end of the offer--> taken (journaled)
 *                  taken --opened--> accepted --leaving--> result under way --acknowledged--> ended
 *                  taken --skipped--> ended
 *
 * 1. When `settle` returns, every frame that central keeps is in the journal: it may be acknowledged.
 * 2. A frame is taken at most once for a model, and ends at most once.
 */
export class Ledger {
  readonly #journal: JournalPort;
  /** Offered and not taken yet: by ref, by model. */
  readonly #offered = new Map<string, Map<string, TakenFrame>>();
  /** Journal numbers of what waits, by ref and model, and of what is open, by i_id. */
  readonly #waiting = new Map<string, number>();
  readonly #open = new Map<string, number>();

  constructor(journal: JournalPort) {
    this.#journal = journal;
  }

  /** A frame is about to be offered for these models. */
  offer(ref: string, frames: readonly TakenFrame[]): void {
    this.#offered.set(ref, new Map(frames.map((frame) => [frame.model, frame])));
  }

  /** A model (null: none of them) does not want it, at once or any more. */
  skipped(ref: string, model: string | null): void {
    const offered = this.#offered.get(ref);
    if (model === null) this.#offered.delete(ref);
    else if (offered?.delete(model) !== true) {
      const n = this.#waiting.get(key(ref, model));
      if (n !== undefined) this.#journal.ended(n);
      this.#waiting.delete(key(ref, model));
    }
  }

  /** It was accepted. */
  opened(ref: string, model: string, i_id: string): void {
    const frame = this.#offered.get(ref)?.get(model);
    const waiting = this.#waiting.get(key(ref, model));
    if (frame !== undefined) {
      this.#offered.get(ref)!.delete(model);
      this.#open.set(i_id, this.#journal.take(frame, i_id));
    } else if (waiting !== undefined) {
      this.#waiting.delete(key(ref, model));
      this.#journal.accepted(waiting, i_id);
      this.#open.set(i_id, waiting);
    }
  }

  /** The offer has been handled: what is neither skipped nor open waits. */
  settle(ref: string): void {
    for (const [model, frame] of this.#offered.get(ref) ?? [])
      this.#waiting.set(key(ref, model), this.#journal.take(frame));
    this.#offered.delete(ref);
  }

  /** Its result is given to the broker; the answer marks it as acknowledged. */
  leaving(i_id: string): () => void {
    const n = this.#open.get(i_id);
    this.#open.delete(i_id);
    if (n === undefined) return () => {};
    this.#journal.leaving(n);
    return () => this.#journal.ended(n);
  }
}

const key = (ref: string, model: string): string => `${ref} ${model}`;

/**
 * Of the frames that a crash left open, those whose result the broker has: all results that left before one that it
 * retains, because they took one connection one after the other. Where it retains one of a later epoch, a successor's
 * have taken the place of ours: the broker has gone on, so it was only this process that died, and what it had given
 * away by then has arrived. `retained`: i_id of the retained result by `<camera>/<model>`.
 */
export function delivered(entries: readonly JournalEntry[], retained: ReadonlyMap<string, string>): Set<number> {
  let newest = -1;
  for (const { camera, model, i_id, left } of entries)
    if (left !== undefined && i_id !== undefined && retained.get(`${camera}/${model}`) === i_id)
      newest = Math.max(newest, left);
  const latest = Math.max(...[...retained.values()].map(epochOf));
  return new Set(
    entries.flatMap(({ n, left, i_id }) =>
      left !== undefined && i_id !== undefined && (left <= newest || epochOf(i_id) < latest) ? [n] : [],
    ),
  );
}

/** The epoch of an `i_id` (`<epoch>-<counter>`). */
function epochOf(iId: string): number {
  return Number(iId.slice(0, iId.indexOf('-')));
}
