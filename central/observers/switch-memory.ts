/** Memory of a machine's process around a change of plans, MB. */
interface Around {
  /** When the new plan was offered. */
  readonly before_mb: number;
  /** The most until the plan before it was gone. */
  most_mb: number;
  /** After that; null until then. */
  after_mb: number | null;
}

/** Resident memory of the processes of machines, MB, by machine. */
export type MemoryReading = ReadonlyMap<string, number>;

/**
 * Follows the memory of machines while one plan replaces another: both plans' sessions are loaded until the last frame of
 * the old one has ended. A machine that comes or goes meanwhile is left out.
 */
export class SwitchMemory {
  readonly #machines: ReadonlyMap<string, Around>;

  /** `now`: when the new plan is offered. */
  constructor(now: MemoryReading) {
    this.#machines = new Map([...now].map(([id, mb]) => [id, { before_mb: mb, most_mb: mb, after_mb: null }]));
  }

  look(now: MemoryReading): void {
    for (const [id, around] of this.#machines) around.most_mb = Math.max(around.most_mb, now.get(id) ?? 0);
  }

  /** The old plan is gone, and machines have had time to say so. */
  end(now: MemoryReading): void {
    this.look(now);
    for (const [id, around] of this.#machines) around.after_mb = now.get(id) ?? null;
  }

  /** By machine. */
  get machines(): Readonly<Record<string, Readonly<Around>>> {
    return Object.fromEntries(this.#machines);
  }

  /** For people: the machine that took most in addition. */
  get inWords(): string | undefined {
    const extra = ([, { before_mb, most_mb }]: [string, Around]): number => most_mb - before_mb;
    const most = [...this.#machines].sort((a, b) => extra(b) - extra(a))[0];
    if (most === undefined) return undefined;
    const [id, { before_mb, most_mb, after_mb }] = most;
    return `${id} had ${before_mb} MB before, at most ${most_mb} MB, and ${after_mb ?? '?'} MB after it`;
  }
}
