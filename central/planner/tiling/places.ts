import type { Place } from '../../../shared/tiling/tiles-between.ts';
import { makersOf } from '../cost/stage-layers.ts';
import type { Block, PlanningGraph } from '../graph.ts';
import type { NoPlan, Problem, TileEnd, TileGeometry } from '../strategy.ts';

/** Most places inside the part of a network that tiles can reach, and behind it. */
const MOST = { tiled: 14, behind: 6 } as const;

/** The places at which stages can end: the first is the frame, the last the end of the network. */
export interface Places {
  readonly places: readonly Place[];
  readonly geometry: TileGeometry;
  /** How many of the first stages are tiles that end at one place each, as the user said. */
  readonly asked: number;
}

/**
 * The places of a network at which a stage with products can begin, as what costs nothing stays with the product before
 * it, and the last ones that tiles can reach. Of more than 14 in the part that tiles can reach, or 6 behind it, those are kept at which the fewest bytes cross, each
 * of another share of the work. Where the user said at which tensors tile stages end, or the network was retrained for
 * them (`ends`), these and those behind them.
 */
export function placesOf({ graph, tiler }: Problem, ends: readonly TileEnd[] = []): Places | NoPlan {
  const { blocks, inputs, outputs } = graph;
  const first: Place = { after: -1, tensors: inputs, outputs: [] };
  const last: Place = { after: graph.layers.length - 1, tensors: outputs, outputs };
  const makers = makersOf(graph);
  const work = blocks.map((block) => macsOf(graph, block));
  const inner = blocks.slice(0, -1).map(({ last: after, cut, bytes }, index): Candidate => {
    const made = outputs.filter((tensor) => makers.get(tensor)! <= after);
    const place = { after, tensors: cut, outputs: made };
    return { place, bytes, before: sum(work.slice(0, index + 1)), isStart: work[index + 1]! > 0 };
  });
  const asked: Candidate[] = [];
  for (const { tensors } of ends) {
    const found = inner.find(({ place }) => sameNames(place.tensors, tensors));
    if (found === undefined)
      return { kind: 'impossible', reason: `no cut of the network lies at ${tensors.join(', ')} alone` };
    asked.push(found);
  }
  const all = tiler.between([first, ...inner.map(({ place }) => place)]);
  const isTiled = inner.map((_, index) => all.cells(index + 1) !== undefined);
  const starts = inner.filter(({ place, isStart }, index) => {
    const isLastTiled = isTiled[index] === true && isTiled[index + 1] !== true;
    return (isStart || isLastTiled) && place.after > (asked.at(-1)?.place.after ?? -1);
  });
  const [tiled, behind]: [Candidate[], Candidate[]] = [[], []];
  for (const start of starts)
    (asked.length === 0 && isTiled[inner.indexOf(start)] === true ? tiled : behind).push(start);
  const kept = [...asked, ...spread(tiled, MOST.tiled), ...spread(behind, MOST.behind)];
  const places = [first, ...kept.map(({ place }) => place).sort((a, b) => a.after - b.after), last];
  return { places, geometry: tiler.between(places), asked: asked.length };
}

interface Candidate {
  readonly place: Place;
  readonly bytes: number;
  /** Multiply-adds before it. */
  readonly before: number;
  /** Whether a layer with products follows. */
  readonly isStart: boolean;
}

/** At most so many candidates: of each equal share of the work the one with the fewest bytes. */
function spread(candidates: readonly Candidate[], most: number): readonly Candidate[] {
  if (candidates.length <= most) return candidates;
  const [low, high] = [candidates[0]!.before, candidates.at(-1)!.before];
  const best = new Map<number, Candidate>();
  for (const candidate of candidates) {
    const share = Math.min(most - 1, Math.floor((most * (candidate.before - low)) / Math.max(1, high - low)));
    const known = best.get(share);
    if (known === undefined || candidate.bytes < known.bytes) best.set(share, candidate);
  }
  return [...best.values()];
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

function macsOf({ layers }: PlanningGraph, { first, last }: Block): number {
  return sum(layers.slice(first, last + 1).map(({ macs }) => macs));
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name) => b.includes(name));
}
