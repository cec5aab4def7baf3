import { homeOf, type Labels, type PlacementProblem } from './placement.ts';

/**
 * The graph layers of a network: vertices by the length of the longest path from the frame (D3, ICDCS 2021, section IV).
 */
export function graphLayers({ vertices, tensors }: Pick<PlacementProblem, 'vertices' | 'tensors'>): number[][] {
  const layers: number[][] = [];
  const depths: number[] = [];
  vertices.forEach(({ inputs }, v) => {
    const depth = Math.max(
      ...inputs.map((t) => {
        const { maker } = tensors[t]!;
        return maker === -1 ? 0 : depths[maker]! + 1;
      }),
      0,
    );
    depths.push(depth);
    layers[depth] = [...(layers[depth] ?? []), v];
  });
  return layers;
}

/** The vertices that read a tensor that a vertex reads too. */
function siblingsOf({ vertices, tensors }: PlacementProblem, v: number): number[] {
  const all = new Set(vertices[v]!.inputs.flatMap((t) => tensors[t]!.readers));
  all.delete(v);
  return [...all];
}

/**
 * The machine on which a vertex, whose predecessors are placed, has the least own time plus transfers; not on an earlier
 * tier than a predecessor, the first of several. Tensors that are at a machine already, since they were made there or a
 * reader of `placed` runs there, are not sent again. -1 where it can run nowhere.
 */
function bestMachine(placement: PlacementProblem, labels: Labels, v: number, placed: ReadonlySet<number>): number {
  const { machines, vertices, tensors, source, hop } = placement;
  const { ms, inputs } = vertices[v]!;
  const costs = machines.map(({ rank }, m) => {
    let cost = ms[m]!;
    for (const t of inputs) {
      const { maker, readers, bytes } = tensors[t]!;
      const home = maker === -1 ? source : labels[maker]!;
      if (maker !== -1 && machines[home]!.rank > rank) return Infinity;
      const isThere = readers.some((reader) => reader !== v && placed.has(reader) && labels[reader] === m);
      if (!isThere) cost += hop(home, m, bytes);
    }
    return cost;
  });
  const least = Math.min(...costs);
  return least === Infinity ? -1 : costs.indexOf(least);
}

/**
 * D3's horizontal partition (HPA; ICDCS 2021, section IV): graph layer by graph layer, each vertex goes to the machine
 * with the least own time plus transfers; then the vertices of the graph layer are reconsidered one after another, since
 * what they read may have been sent to a sibling's machine. Undefined where a vertex can run nowhere.
 */
export function hpa(placement: PlacementProblem): Labels | undefined {
  return place(placement, undefined, new Set(placement.vertices.keys()));
}

/** How far a time may change (as a ratio, new to old) before what depends on it is placed anew. */
export interface Band {
  readonly low: number;
  readonly high: number;
}

/**
 * D3's local adjustment (ICDCS 2021, section IV): of a labelling that was made for the problem `before`, only the
 * vertices whose own time or transfer left the band in the problem `now`, their siblings and the vertices that follow
 * are placed anew, and what follows those that moved. Undefined where one of them can run nowhere. The machines of both
 * problems are the same; one that is gone has infinite times.
 */
export function adjust(
  before: PlacementProblem,
  now: PlacementProblem,
  labels: Labels,
  { low, high }: Band,
): Labels | undefined {
  const left = (old: number, ms: number): boolean => ms !== old && (ms < low * old || ms > high * old);
  const affected = now.vertices.flatMap(({ ms, inputs }, v) => {
    const m = labels[v]!;
    const isLeft =
      left(before.vertices[v]!.ms[m]!, ms[m]!) ||
      inputs.some((t) => {
        const { bytes } = now.tensors[t]!;
        const home = homeOf(now, now.tensors[t]!, labels);
        return left(before.hop(home, m, bytes), now.hop(home, m, bytes));
      });
    return isLeft ? [v] : [];
  });
  const movable = affected.flatMap((v) => [v, ...siblingsOf(now, v), ...followersOf(now, v)]);
  return place(now, labels, new Set(movable));
}

/** Places the vertices of `movable`, and those that follow one whose label is no longer that of `old`. */
function place(placement: PlacementProblem, old: Labels | undefined, movable: Set<number>): Labels | undefined {
  const labels = [...(old ?? [])];
  const placed = new Set(labels.keys());
  for (const layer of graphLayers(placement)) {
    const here = layer.filter((v) => movable.has(v));
    for (const v of here) placed.delete(v);
    for (const v of [...here, ...here]) {
      const machine = bestMachine(placement, labels, v, placed);
      if (machine === -1) return undefined;
      labels[v] = machine;
      placed.add(v);
    }
    for (const v of here)
      if (old !== undefined && labels[v] !== old[v])
        for (const follower of followersOf(placement, v)) movable.add(follower);
  }
  return labels;
}

/** The vertices that read what a vertex makes. */
function followersOf({ vertices, tensors }: PlacementProblem, v: number): number[] {
  return vertices[v]!.outputs.flatMap((t) => tensors[t]!.readers);
}
