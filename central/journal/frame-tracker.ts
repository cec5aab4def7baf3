import type { JournalEntry, TakenFrame } from './format.ts';

/** What the tracker writes to; `Journal` is one. */
export interface JournalPort {
  take(frame: TakenFrame, i_id?: string): number;
  accepted(n: number, i_id: string): void;
  leaving(n: number, result: string): void;
  ended(n: number): void;
  /** Resolves when all that was said so far is written; undefined where it is. */
  whenWritten(): Promise<void> | undefined;
}

/** A frame that waits its turn, and its number in the journal. */
export interface Waiting {
  readonly n: number;
  readonly frame: TakenFrame;
}

/**
 * Follows each frame for each of its models through the coordinator's effects and keeps the journal.
 *
 * frame and model: offered --skipped--> forgotten
 *                  offered --opened, or `settle` at the end of the offer--> taken (journaled)
 *                  taken --opened--> accepted --leaving--> result under way --acknowledged--> ended
 *                  taken --skipped--> ended
 *                  taken --unserved, where central ends--> result under way
 *
 * 1. Once `settle` has returned and nothing waits to be written, every frame that central keeps is in the journal: it may
 *    be acknowledged.
 * 2. A frame is taken at most once for a model, and ends at most once.
 * 3. A result is in the journal, and written, before it is given to the broker: whoever ends the frame after a crash says
 *    the same.
 */
export class FrameTracker {
  readonly #journal: JournalPort;
  /** Offered and not taken yet: by ref, by model. */
  readonly #offered = new Map<string, Map<string, TakenFrame>>();
  /** Journal numbers of what waits, by ref and model, and of what is open, by i_id. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #open = new Map<string, number>();

  constructor(journal: JournalPort) {
    this.#journal = journal;
  }

  /** Resolves when all that was told so far is on the disk; undefined where it is. */
  whenWritten(): Promise<void> | undefined {
    return this.#journal.whenWritten();
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
      const waiting = this.#takeWaiting(ref, model);
      if (waiting !== undefined) this.#journal.ended(waiting.n);
    }
  }

  /**
   * A frame that waits will not get its turn. Where it is one that was taken, `resultOf` says its result, which is given
   * to the broker; `acknowledged` as of `leaving`.
   */
  unserved(
    ref: string,
    model: string,
    resultOf: (waiting: Waiting) => string,
  ): { readonly result: string; readonly acknowledged: () => void } | undefined {
    const waiting = this.#takeWaiting(ref, model);
    if (waiting === undefined) return undefined;
    const result = resultOf(waiting);
    return { result, acknowledged: this.#leaving(waiting.n, result) };
  }

  /** It was accepted. */
  opened(ref: string, model: string, i_id: string): void {
    const frame = this.#offered.get(ref)?.get(model);
    const n = this.#takeWaiting(ref, model)?.n;
    if (frame !== undefined) {
      this.#offered.get(ref)!.delete(model);
      this.#open.set(i_id, this.#journal.take(frame, i_id));
    } else if (n !== undefined) {
      this.#journal.accepted(n, i_id);
      this.#open.set(i_id, n);
    }
  }

  /** The offer has been handled: what is neither skipped nor open waits. */
  settle(ref: string): void {
    for (const [model, frame] of this.#offered.get(ref) ?? [])
      this.#waiting.set(key(ref, model), { n: this.#journal.take(frame), frame });
    this.#offered.delete(ref);
  }

  /** This result of it, one line, is given to the broker; the answer marks it as acknowledged. */
  leaving(i_id: string, result: string): () => void {
    const n = this.#open.get(i_id);
    this.#open.delete(i_id);
    return n === undefined ? () => {} : this.#leaving(n, result);
  }

  #leaving(n: number, result: string): () => void {
    this.#journal.leaving(n, result);
    return () => this.#journal.ended(n);
  }

  #takeWaiting(ref: string, model: string): Waiting | undefined {
    const waiting = this.#waiting.get(key(ref, model));
    this.#waiting.delete(key(ref, model));
    return waiting;
  }
}

const key = (ref: string, model: string): string => `${ref} ${model}`;

/**
 * Of the frames that a crash left open, those whose result the broker shows that it has: all results that left before
 * one that it retains, because they took one connection one after the other. `retained`: i_id of the retained result by
 * `<camera>/<model>`.
 */
export function delivered(entries: readonly JournalEntry[], retained: ReadonlyMap<string, string>): Set<number> {
  let newest = -1;
  for (const { camera, model, i_id, left } of entries)
    if (left !== undefined && i_id !== undefined && retained.get(`${camera}/${model}`) === i_id)
      newest = Math.max(newest, left);
  return new Set(entries.flatMap(({ n, left }) => (left !== undefined && left <= newest ? [n] : [])));
}
