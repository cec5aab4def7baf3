/** The source and the sink of a flow network. */
export const SOURCE = 0;
export const SINK = 1;

/** An edge of a flow network and, at the next index (xor 1), its reverse. */
interface Edge {
  readonly to: number;
  /** What can still flow. */
  room: number;
}

/**
 * Minimum cuts by Dinic's algorithm (1970). Capacities may be infinite; finite ones should be whole numbers, because sums
 * of fractions are not exact.
 */
export class FlowNetwork {
  readonly #edges: Edge[] = [];
  readonly #out: number[][] = [[], []];

  /** Adds a vertex and returns its number. */
  vertex(): number {
    return this.#out.push([]) - 1;
  }

  /** Adds an edge; `capacity` may be infinite. */
  edge(from: number, to: number, capacity: number): void {
    if (capacity <= 0 || from === to) return;
    this.#out[from]!.push(this.#edges.push({ to, room: capacity }) - 1);
    this.#out[to]!.push(this.#edges.push({ to: from, room: 0 }) - 1);
  }

  /**
   * Whether each vertex is on the source's side of a minimum cut; undefined where every cut is infinite. The network
   * keeps the flow, so it can be cut once.
   */
  cut(): boolean[] | undefined {
    for (;;) {
      const levels = this.#levels();
      if (levels[SINK] === -1) return levels.map((level) => level !== -1);
      const next = this.#out.map(() => 0);
      for (
        let pushed = this.#push(SOURCE, Infinity, levels, next);
        pushed > 0;
        pushed = this.#push(SOURCE, Infinity, levels, next)
      )
        if (pushed === Infinity) return undefined;
    }
  }

  /** Distance from the source over edges with room; -1 where none leads. */
  #levels(): number[] {
    const levels = this.#out.map(() => -1);
    levels[SOURCE] = 0;
    const queue = [SOURCE];
    for (const from of queue)
      for (const index of this.#out[from]!) {
        const { to, room } = this.#edges[index]!;
        if (room <= 0 || levels[to] !== -1) continue;
        levels[to] = levels[from]! + 1;
        queue.push(to);
      }
    return levels;
  }

  /** Sends flow along one path of rising levels; `next` remembers per vertex which edges are exhausted. */
  #push(from: number, limit: number, levels: readonly number[], next: number[]): number {
    if (from === SINK) return limit;
    const out = this.#out[from]!;
    for (; next[from]! < out.length; next[from]!++) {
      const index = out[next[from]!]!;
      const edge = this.#edges[index]!;
      if (edge.room <= 0 || levels[edge.to] !== levels[from]! + 1) continue;
      const pushed = this.#push(edge.to, Math.min(limit, edge.room), levels, next);
      if (pushed === 0) continue;
      edge.room -= pushed;
      this.#edges[index ^ 1]!.room += pushed;
      return pushed;
    }
    return 0;
  }
}
