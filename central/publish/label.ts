/** What the label topic says when nothing passes the threshold; the topic is never empty. */
export const NO_LABEL = 'none';

/** States over 255 characters are refused by Home Assistant. */
const MAX_LENGTH = 255;

/**
 * The label that the last `hold` results agree on.
 *
 * Invariants: (1) a change needs `hold` equal results in a row; (2) the same label is never reported twice in a row.
 */
export class HeldLabel {
  readonly #hold: number;
  #candidate = '';
  #seen = 0;
  #published = '';

  constructor(hold: number) {
    this.#hold = hold;
  }

  /** Takes a result's top label (null: nothing passed the threshold); returns the label when it has changed. */
  update(top: string | null): string | undefined {
    const label = (top ?? NO_LABEL).slice(0, MAX_LENGTH);
    this.#seen = label === this.#candidate ? this.#seen + 1 : 1;
    this.#candidate = label;
    if (this.#seen < this.#hold || label === this.#published) return undefined;
    this.#published = label;
    return label;
  }
}
