/** Runs the actions of one key one after another, in the order of the calls, whether those before succeed or fail. */
export class Turns {
  /** The last action of each key that has one. */
  readonly #last = new Map<string, Promise<void>>();

  /** Runs an action when it is its turn; settles as the action does. */
  take<T>(key: string, action: () => Promise<T>): Promise<T> {
    const turn = (this.#last.get(key) ?? Promise.resolve()).then(action);
    const settled = turn
      .then(
        () => {},
        () => {},
      )
      .then(() => {
        if (this.#last.get(key) === settled) this.#last.delete(key);
      });
    this.#last.set(key, settled);
    return turn;
  }
}
