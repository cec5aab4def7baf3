/** Runs tasks concurrently while the sum of their weights stays within a capacity, in the order of the calls. */
export class WeightedSemaphore {
  readonly #capacity: number;
  readonly #waiting: { readonly weight: number; readonly start: () => void }[] = [];
  #used = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Runs `task` as soon as there is room for `weight`; one above the capacity runs alone. */
  async run<T>(weight: number, task: () => Promise<T>): Promise<T> {
    const share = Math.min(weight, this.#capacity);
    await new Promise<void>((start) => {
      this.#waiting.push({ weight: share, start });
      this.#startNext();
    });
    try {
      return await task();
    } finally {
      this.#used -= share;
      this.#startNext();
    }
  }

  #startNext(): void {
    for (;;) {
      const next = this.#waiting[0];
      if (next === undefined || this.#used + next.weight > this.#capacity) return;
      this.#waiting.shift();
      this.#used += next.weight;
      next.start();
    }
  }
}
