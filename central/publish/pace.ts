/** Limits how often something is published on a topic. All times: ms of one steady clock. */
export class Pace {
  readonly #last = new Map<string, number>();

  /** Whether `intervalMs` have passed since the topic's last message. */
  isFree(topic: string, now: number, intervalMs: number): boolean {
    const last = this.#last.get(topic);
    return last === undefined || now - last >= intervalMs;
  }

  /** A message is published on the topic. */
  took(topic: string, now: number): void {
    this.#last.set(topic, now);
  }

  /** The topic has no messages any more. */
  forget(topic: string): void {
    this.#last.delete(topic);
  }
}
