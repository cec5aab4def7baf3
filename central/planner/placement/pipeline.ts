import { chainCuts } from './chain.ts';
import { type PlacementProblem, type RunMs, runTimes } from './placement.ts';
import type { WholeStage } from './stages.ts';

/** A pipeline of a chain: a stage in front, one whose frames several machines share, and one behind it. */
interface Pipeline {
  /** The machines of the first and of the last stage; null where there is no such stage. */
  readonly front: number | null;
  readonly team: readonly number[];
  readonly back: number | null;
  /** The vertices of the middle stage: from the first of these up to but without the second. */
  readonly from: number;
  readonly to: number;
}

/**
 * For each tier, the pipeline that takes frames most often: its middle stage runs on all machines of that tier, at least
 * two, that are neither in front of it nor behind it. The latency does not count.
 */
export function bestPipelines(placement: PlacementProblem): WholeStage[][] {
  const { machines, vertices } = placement;
  const runMs = runTimes(placement);
  const able = [...machines.keys()].filter((m) => runMs(m, 0, vertices.length - 1) < Infinity);
  const ranks = new Set(able.map((m) => machines[m]!.rank));
  return [...ranks].flatMap((rank) => {
    const rankOf = (m: number): number => machines[m]!.rank;
    const before = [null, ...able.filter((m) => rankOf(m) <= rank)];
    const behind = [null, ...able.filter((m) => rankOf(m) >= rank)];
    let best: Pipeline | undefined;
    let least = Infinity;
    for (const front of before)
      for (const back of behind) {
        const team = able.filter((m) => rankOf(m) === rank && m !== front && m !== back);
        if (team.length < 2 || front === back) continue;
        const found = bestCuts(placement, runMs, { front, team, back }, least);
        if (found === undefined) continue;
        best = found.pipeline;
        least = found.ms;
      }
    return best === undefined ? [] : [stagesOf(placement, best)];
  });
}

/** Where to cut for some machines, and the time between two frames; undefined unless that is less than `least`. */
function bestCuts(
  { vertices, tensors, source, hop }: PlacementProblem,
  runMs: RunMs,
  machines: Pick<Pipeline, 'front' | 'team' | 'back'>,
  least: number,
): { readonly pipeline: Pipeline; readonly ms: number } | undefined {
  const { front, team, back } = machines;
  const end = vertices.length;
  const cuts = chainCuts({ vertices, tensors });
  const frame = tensors.filter(({ maker }) => maker === -1).reduce((sum, { bytes }) => sum + bytes, 0);
  // A link is busy with the bytes, not with their time on the way.
  const load = (from: number, to: number, bytes: number): number =>
    from === to ? 0 : hop(from, to, bytes) === Infinity ? Infinity : hop(from, to, bytes) - hop(from, to, 0);
  const starts = front === null ? [{ at: 0, bytes: frame }] : cuts;
  const ends = back === null ? [{ at: end, bytes: 0 }] : cuts;
  let best: Pipeline | undefined;
  let ms = least;
  for (const start of starts) {
    const first = front === null ? 0 : Math.max(runMs(front, 0, start.at - 1), load(source, front, frame));
    if (first >= ms) continue;
    for (const stop of ends) {
      if (stop.at <= start.at) continue;
      const last = back === null ? 0 : runMs(back, stop.at, end - 1);
      if (last >= ms) continue;
      const times = team.map((m) => Math.max(LEAST_MS, runMs(m, start.at, stop.at - 1)));
      const between = 1 / times.reduce((sum, time) => sum + 1 / time, 0);
      const links = team.map((m, k) => {
        const share = between / times[k]!;
        const to = load(front ?? source, m, start.bytes);
        const from = back === null ? 0 : load(m, back, stop.bytes);
        return share * Math.max(to, from);
      });
      const all = Math.max(first, between, last, ...links);
      if (all >= ms) continue;
      ms = all;
      best = { ...machines, from: start.at, to: stop.at };
    }
  }
  return best && { pipeline: best, ms };
}

/** Times of 0 would make a machine infinitely fast. */
const LEAST_MS = 1e-6;

function stagesOf({ machines, vertices }: PlacementProblem, { front, team, back, from, to }: Pipeline): WholeStage[] {
  const range = (first: number, last: number): number[] => Array.from({ length: last - first }, (_, k) => first + k);
  const stage = (all: readonly number[], runs: readonly number[]): WholeStage => {
    return { vertices: runs, nodes: all.map((m) => machines[m]!.id) };
  };
  return [
    ...(front === null ? [] : [stage([front], range(0, from))]),
    stage(team, range(from, to)),
    ...(back === null ? [] : [stage([back], range(to, vertices.length))]),
  ];
}
