/** The label of a result in which no prediction passes the threshold; the topic is never empty. */
export const NO_LABEL = 'none';

/** Home Assistant refuses states over 255 characters. */
const MAX_LENGTH = 255;

/**
 * The label that the last `hold` results agree on.
 *
 * Invariants: (1) a change needs `hold` equal results in a row; (2) the same label is never reported twice in a row.
 */
export class StableLabel {
  readonly #hold: number;
  #candidate = '';
  #seen = 0;
  #label: string | undefined;

  constructor(hold: number) {
    this.#hold = hold;
  }

  /** The last one that `hold` results agreed on; undefined: none yet. */
  get label(): string | undefined {
    return this.#label;
  }

  /** Takes a result's top label (null: no prediction passed the threshold); returns the label when it has changed. */
  update(top: string | null): string | undefined {
    const label = (top ?? NO_LABEL).slice(0, MAX_LENGTH);
    this.#seen = label === this.#candidate ? this.#seen + 1 : 1;
    this.#candidate = label;
    if (this.#seen < this.#hold || label === this.#label) return undefined;
    this.#label = label;
    return label;
  }
}
