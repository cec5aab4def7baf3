import type { AcceptedFrame } from './format.ts';

/** What the tracker writes to; `Journal` is one. */
export interface JournalPort {
  accept(frame: AcceptedFrame, i_id?: string): number;
  opened(n: number, i_id: string): void;
  publishing(n: number, result: string): void;
  ended(n: number): void;
  /** Resolves when everything so far is written; undefined where it is. */
  whenWritten(): Promise<void> | undefined;
}

/** An accepted frame that waits for its turn, and its number in the journal. */
export interface WaitingFrame {
  readonly n: number;
  readonly frame: AcceptedFrame;
}

/** A result, and what to call once the broker has acknowledged it. */
export interface OutgoingResult {
  readonly result: string;
  readonly acknowledged: () => void;
}

/**
 * Follows each frame, for each of its models, through the coordinator's effects and writes the journal.
 *
 * frame and model: offered --skipped--> forgotten
 *                  offered --opened, or `settle` at the end of the offer--> accepted
 *                  accepted --opened--> open --publishing--> published --acknowledged--> ended
 *                  accepted --skipped--> ended
 *                  accepted --unserved, where central stops--> published
 *
 * 1. Once `settle` has returned and `whenWritten` is undefined, the journal has every frame that central keeps: the message
 *    may be acknowledged.
 * 2. A frame is accepted at most once for a model, and ends at most once.
 * 3. The journal has a result before the result is published: recovery after a crash publishes the same one.
 */
export class FrameTracker {
  readonly #journal: JournalPort;
  /** Offered and not accepted yet: by ref, by model. */
  readonly #offered = new Map<string, Map<string, AcceptedFrame>>();
  /** Waiting frames by ref and model, and journal numbers of open frames by i_id. */
  readonly #waiting = new Map<string, WaitingFrame>();
  readonly #open = new Map<string, number>();

  constructor(journal: JournalPort) {
    this.#journal = journal;
  }

  /** Resolves when everything so far is on the disk; undefined where it is. */
  whenWritten(): Promise<void> | undefined {
    return this.#journal.whenWritten();
  }

  /** A frame is about to be offered for these models. */
  offer(ref: string, frames: readonly AcceptedFrame[]): void {
    this.#offered.set(ref, new Map(frames.map((frame) => [frame.model, frame])));
  }

  /** The coordinator skips a frame for a model, or (null) for all of them, at once or after it has waited. */
  skipped(ref: string, model: string | null): void {
    const offered = this.#offered.get(ref);
    if (model === null) this.#offered.delete(ref);
    else if (offered?.delete(model) !== true) {
      const waiting = this.#takeWaiting(ref, model);
      if (waiting !== undefined) this.#journal.ended(waiting.n);
    }
  }

  /** A waiting frame will not get its turn; `resultOf` makes its result. Undefined for a frame that does not wait. */
  unserved(ref: string, model: string, resultOf: (waiting: WaitingFrame) => string): OutgoingResult | undefined {
    const waiting = this.#takeWaiting(ref, model);
    if (waiting === undefined) return undefined;
    const result = resultOf(waiting);
    return { result, acknowledged: this.#publishing(waiting.n, result) };
  }

  /** The coordinator has opened a frame. */
  opened(ref: string, model: string, i_id: string): void {
    const frame = this.#offered.get(ref)?.get(model);
    const n = this.#takeWaiting(ref, model)?.n;
    if (frame !== undefined) {
      this.#offered.get(ref)!.delete(model);
      this.#open.set(i_id, this.#journal.accept(frame, i_id));
    } else if (n !== undefined) {
      this.#journal.opened(n, i_id);
      this.#open.set(i_id, n);
    }
  }

  /** The coordinator has handled the offer: for models that neither skipped nor opened it the frame waits. */
  settle(ref: string): void {
    for (const [model, frame] of this.#offered.get(ref) ?? [])
      this.#waiting.set(key(ref, model), { n: this.#journal.accept(frame), frame });
    this.#offered.delete(ref);
  }

  /** The frame's result, one line, is about to be published; call the answer once the broker has acknowledged it. */
  publishing(i_id: string, result: string): () => void {
    const n = this.#open.get(i_id);
    this.#open.delete(i_id);
    return n === undefined ? () => {} : this.#publishing(n, result);
  }

  #publishing(n: number, result: string): () => void {
    this.#journal.publishing(n, result);
    return () => this.#journal.ended(n);
  }

  #takeWaiting(ref: string, model: string): WaitingFrame | undefined {
    const waiting = this.#waiting.get(key(ref, model));
    this.#waiting.delete(key(ref, model));
    return waiting;
  }
}

const key = (ref: string, model: string): string => `${ref} ${model}`;
