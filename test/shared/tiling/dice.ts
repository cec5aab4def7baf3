import fc from 'fast-check';

/**
 * Random decisions drawn from a list of numbers, so that fast-check can shrink them: all zeros take the first of
 * everything.
 */
export class Dice {
  readonly #rolls: readonly number[];
  #next = 0;

  constructor(rolls: readonly number[]) {
    this.#rolls = rolls;
  }

  /** An integer from `low` to `high`. */
  int(low: number, high: number): number {
    const roll = this.#rolls[this.#next++ % this.#rolls.length] ?? 0;
    return low + (roll % (high - low + 1));
  }

  pick<T>(...choices: readonly T[]): T {
    return choices[this.int(0, choices.length - 1)]!;
  }

  ints(count: number, low: number, high: number): number[] {
    return Array.from({ length: count }, () => this.int(low, high));
  }

  /** An attribute that may be left out. */
  maybe<T>(name: string, value: () => T): Record<string, T> {
    return this.int(0, 1) === 0 ? {} : { [name]: value() };
  }
}

/** Lists of numbers for `Dice`. */
export const rolls: fc.Arbitrary<number[]> = fc.array(fc.nat(1_000_000), { minLength: 60, maxLength: 60 });
