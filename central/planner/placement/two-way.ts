import { cutVertices } from './cut-vertices.ts';
import { FlowNetwork, SINK, SOURCE } from './max-flow.ts';
import { costOf, type Labels, type PlacementProblem, type Vertex } from './placement.ts';

/** What a ms counts of computing at the first machine, of computing at the second, and of transfers. */
export interface Weights {
  readonly first: number;
  readonly second: number;
  readonly transfers: number;
}

/** The plain cost. */
const EQUAL: Weights = { first: 1, second: 1, transfers: 1 };

/** Capacities are whole numbers of these parts of a ms. */
const PARTS = 1e6;

/** Two machines, the second not on an earlier tier. */
export type Pair = readonly [number, number];

/** All pairs of machines of different tiers. */
export function tierPairsOf(placement: Pick<PlacementProblem, 'machines'>): Pair[] {
  return pairsOf(placement).filter(([a, b]) => placement.machines[a]!.rank < placement.machines[b]!.rank);
}

/** All pairs of machines. */
export function pairsOf({ machines }: Pick<PlacementProblem, 'machines'>): Pair[] {
  return machines.flatMap(({ rank }, a) =>
    machines.flatMap((other, b): Pair[] => (rank < other.rank || (rank === other.rank && a < b) ? [[a, b]] : [])),
  );
}

/** The vertices between two neighbouring cut vertices, without those; `from` is -1 and `to` too large at the ends. */
interface Gap {
  readonly from: number;
  readonly to: number;
}

function gapsOf(placement: PlacementProblem): Gap[] {
  const ends = [...cutVertices(placement), placement.vertices.length];
  return ends.map((to, index) => ({ from: ends[index - 1] ?? -1, to }));
}

/** The cheapest labelling with everything before a gap on the first machine, and everything behind it on the second. */
function cutIn(placement: PlacementProblem, pair: Pair, { from, to }: Gap, weights = EQUAL): Labels | undefined {
  const sides = placement.vertices.map((_, v) => pair[v <= from ? 0 : 1]);
  return relabelled(placement, sides, pair, (v) => from < v && v < to, weights);
}

/**
 * Monotone labellings with two machines of different tiers, one for each gap between cut vertices. The cheapest of all
 * monotone labellings is among them (QDMP, IMWUT 2020).
 */
export function twoWay(placement: PlacementProblem, pair: Pair, weights: Weights): Labels[] {
  return gapsOf(placement).flatMap((gap) => {
    const labels = cutIn(placement, pair, gap, weights);
    return labels === undefined ? [] : [labels];
  });
}

/**
 * The cheapest monotone labelling with two machines, on any graph (DADS, INFOCOM 2019, section IV: DSL); undefined where
 * links are missing. Gaps are solved in the order of their least computing time, until no other can be cheaper.
 */
export function cheapestTwoWay(placement: PlacementProblem, pair: Pair): Labels | undefined {
  const gaps = gapsOf(placement).map((gap) => ({ gap, least: leastComputing(placement, pair, gap) }));
  let best: Labels | undefined;
  let least = Infinity;
  for (const { gap, least: bound } of gaps.sort((x, y) => x.least - y.least)) {
    if (bound >= least) break;
    const labels = cutIn(placement, pair, gap);
    const ms = labels === undefined ? Infinity : costOf(placement, labels);
    if (ms < least) [best, least] = [labels, ms];
  }
  return best;
}

/** The time of all vertices where each in a gap has the faster of two machines, ms. */
function leastComputing({ vertices }: PlacementProblem, [a, b]: Pair, { from, to }: Gap): number {
  const own = ({ ms }: Vertex, v: number): number => (v <= from ? ms[a]! : v >= to ? ms[b]! : Math.min(ms[a]!, ms[b]!));
  return vertices.reduce((sum, vertex, v) => sum + own(vertex, v), 0);
}

/** The first of the labellings with the least cost. */
export function cheapest(all: readonly Labels[], cost: (labels: Labels) => number): Labels | undefined {
  const costs = all.map(cost);
  return all[costs.indexOf(Math.min(...costs))];
}

/**
 * The labelling with the least cost of those that differ only in which machine of the pair each free vertex has, by a
 * minimum cut: a vertex on the first machine cuts its edge to the flow's sink, one on the second its edge from the
 * source (DADS, INFOCOM 2019, section IV). Undefined where all of them lack a link or are not monotone.
 */
export function relabelled(
  { machines, vertices, tensors, source, sink, hop }: PlacementProblem,
  labels: Labels,
  [a, b]: Pair,
  isFree: (vertex: number) => boolean,
  { first, second, transfers }: Weights = EQUAL,
): number[] | undefined {
  const flow = new FlowNetwork();
  const edge = (from: number, to: number, ms: number, weight = 1): void =>
    flow.edge(from, to, Math.round(ms * weight * PARTS));
  const sideOf = (machine: number): number | undefined => (machine === a ? SOURCE : machine === b ? SINK : undefined);
  const free = new Map<number, number>();
  vertices.forEach(({ ms }, v) => {
    if (!isFree(v)) return;
    const vertex = flow.vertex();
    free.set(v, vertex);
    edge(vertex, SINK, ms[a]!, first);
    edge(SOURCE, vertex, ms[b]!, second);
  });
  if (free.size === 0) return [...labels];
  /** The time of a tensor's way from a machine to another one. */
  const way = (from: number, to: number, bytes: number, isMonotone: boolean): number =>
    isMonotone && machines[from]!.rank > machines[to]!.rank ? Infinity : hop(from, to, bytes);
  for (const { maker, readers, bytes, isAnswer } of tensors) {
    if (!free.has(maker) && !readers.some((reader) => free.has(reader))) continue;
    // Where the tensor is needed: at a free vertex, at one of the two machines, or elsewhere.
    const near = new Set<number>();
    const far = new Set<number>();
    for (const reader of readers) {
      const place = free.get(reader) ?? sideOf(labels[reader]!);
      if (place === undefined) far.add(labels[reader]!);
      else near.add(place);
    }
    const vertex = free.get(maker);
    if (isAnswer && sink !== undefined) {
      const side = sideOf(sink);
      if (side !== undefined) near.add(side);
      else if (!far.has(sink) && vertex !== undefined) {
        edge(vertex, SINK, hop(a, sink, bytes), transfers);
        edge(SOURCE, vertex, hop(b, sink, bytes), transfers);
      }
    }
    // Auxiliary vertices for all that need it, so that each way is paid for once.
    const [atFirst, atSecond] = [flow.vertex(), flow.vertex()];
    for (const place of near) {
      edge(place, atFirst, Infinity);
      edge(atSecond, place, Infinity);
    }
    if (vertex === undefined) {
      const home = maker === -1 ? source : labels[maker]!;
      if (home !== a) edge(atFirst, SINK, way(home, a, bytes, maker !== -1), transfers);
      if (home !== b) edge(SOURCE, atSecond, way(home, b, bytes, maker !== -1), transfers);
      continue;
    }
    edge(atFirst, vertex, hop(b, a, bytes), transfers);
    edge(vertex, atSecond, hop(a, b, bytes), transfers);
    if (machines[a]!.rank < machines[b]!.rank)
      for (const reader of readers) edge(free.get(reader) ?? sideOf(labels[reader]!) ?? SINK, vertex, Infinity);
    for (const machine of far) {
      edge(vertex, SINK, way(a, machine, bytes, true), transfers);
      edge(SOURCE, vertex, way(b, machine, bytes, true), transfers);
    }
  }
  const sides = flow.cut();
  return sides && labels.map((label, v) => (free.has(v) ? (sides[free.get(v)!] ? a : b) : label));
}
