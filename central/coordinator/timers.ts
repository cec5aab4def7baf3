/**
 * Deadlines by name. Setting a name again moves it; `set-timer` names only the earliest one.
 * A binary heap with lazy deletion: entries that were moved or cleared are dropped when they come to the top.
 */
export class Timers<Action> {
  readonly #due = new Map<string, { readonly at: number; readonly action: Action }>();
  #heap: { readonly at: number; readonly name: string }[] = [];

  set(name: string, at: number, action: Action): void {
    this.#due.set(name, { at, action });
    // Moved deadlines leave their old entry behind: the heap is rebuilt before these outnumber the real ones.
    if (this.#heap.length > 2 * this.#due.size + 64) this.#rebuild();
    else this.#push({ at, name });
  }

  clear(name: string): void {
    this.#due.delete(name);
  }

  has(name: string): boolean {
    return this.#due.has(name);
  }

  /** The earliest deadline, or undefined. */
  next(): number | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      if (this.#due.get(top.name)?.at === top.at) return top.at;
      this.#pop();
    }
    return undefined;
  }

  /** Takes the action of the earliest deadline that is not after `now`, or returns undefined. */
  take(now: number): Action | undefined {
    const at = this.next();
    if (at === undefined || at > now) return undefined;
    const { name } = this.#pop()!;
    const { action } = this.#due.get(name)!;
    this.#due.delete(name);
    return action;
  }

  #rebuild(): void {
    this.#heap = [];
    for (const [name, { at }] of this.#due) this.#push({ at, name });
  }

  #push(entry: { readonly at: number; readonly name: string }): void {
    const heap = this.#heap;
    let child = heap.push(entry) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (heap[parent]!.at <= entry.at) break;
      heap[child] = heap[parent]!;
      child = parent;
    }
    heap[child] = entry;
  }

  #pop(): { readonly at: number; readonly name: string } | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.at < heap[child]!.at) child++;
      if (heap[child]!.at >= last.at) break;
      heap[parent] = heap[child]!;
      parent = child;
    }
    heap[parent] = last;
    return top;
  }
}
