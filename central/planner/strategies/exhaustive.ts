import type { Plan } from '../../../shared/plan/plan.ts';
import { composePlan, type StageDraft } from '../compose.ts';
import { hopsOf } from '../cost/hop.ts';
import { predict } from '../cost/predict.ts';
import { sketch } from '../cost/sketch.ts';
import { boundaryOf } from '../cost/stage-layers.ts';
import { refusalWithoutTiles } from '../cuts/wanted.ts';
import { isExact, scoreOf } from '../pipelines/score.ts';
import { type Chain, chainsOf, crossingBytes, runTable } from '../pipelines/tables.ts';
import { checksOf, isOf, lackOfMemory, objectiveValue } from '../query/check.ts';
import {
  isNoPlan,
  type NoPlan,
  type PlanningNode,
  type Problem,
  type Strategy,
  usableNodes,
  withoutTimes,
} from '../strategy.ts';

const name = 'exhaustive';

/** Most pipelines that are compared. */
const MAX_PIPELINES = 5_000_000;

/**
 * Scission (UCC 2020): every choice of at most one device, one edge and one cloud machine, and every pair of cuts; the
 * best ones under the constraints, the best first. Exact among plans of whole stages in this order of tiers.
 */
export const exhaustive: Strategy = {
  name,
  propose(problem) {
    const chains = refusalWithoutTiles(problem) ?? pipelinesOf(problem);
    if (isNoPlan(chains)) return chains;
    const best = search(problem, chains);
    if (best.length > 0) return best;
    return { kind: 'impossible', reason: 'no pipeline of whole stages meets the demands' };
  },
  compared(problem) {
    const chains = pipelinesOf(problem);
    return isNoPlan(chains) ? 0 : chains.reduce((sum, chain) => sum + allowedCuts(problem, chain).count, 0);
  },
};

/** The chains of machines that may be used, and that links connect. */
function pipelinesOf(problem: Problem): readonly Chain[] | NoPlan {
  const { graph, source, sink, constraints } = problem;
  const nodes = usableNodes(problem);
  const unknown = withoutTimes(nodes);
  if (unknown !== undefined) return unknown;
  const { use = [], avoid = [] } = constraints;
  const may = nodes.filter(({ id }) => !avoid.some((named) => isOf(nodes, named, id)));
  const inner = graph.blocks.length - 1;
  const of = (tier: string): number => may.filter((node) => node.tier === tier).length;
  const [device, edge, cloud] = [of('device'), of('edge'), of('cloud')];
  const pairs = device * edge + device * cloud + edge * cloud;
  const pipelines = device + edge + cloud + pairs * inner + device * edge * cloud * ((inner * (inner - 1)) / 2);
  if (pipelines > MAX_PIPELINES)
    return {
      kind: 'impossible',
      reason: `it has ${pipelines} pipelines, and at most ${MAX_PIPELINES} are compared`,
      hint: 'leave out some machines',
    };
  const tables = new Map(may.map((node) => [node, runTable(graph, node)]));
  const chains = chainsOf(may, tables, hopsOf(problem), source, sink);
  const fits = ({ nodes: row, hops, home }: Chain): boolean =>
    use.every((named) => row.some(({ id }) => isOf(nodes, named, id))) &&
    [...hops, ...(home === undefined ? [] : [home])].every(({ fixed_ms }) => Number.isFinite(fixed_ms));
  return chains.filter(fits);
}

interface Found {
  readonly value: number;
  /** Decides between equal values. */
  readonly latency: number;
  readonly chain: Chain;
  readonly first: number;
  readonly second: number;
}

function search(problem: Problem, chains: readonly Chain[]): Plan[] {
  const { graph, constraints } = problem;
  const { objective = 'latency', top = 1 } = constraints;
  const bytes = crossingBytes(graph);
  const score = scoreOf(objective, bytes);
  const latencyOf = objective === 'latency' ? score : scoreOf('latency', bytes);
  // Machines and blocks are checked by leaving out what does not fit.
  const limits = checksOf(problem).filter(({ field }) => field !== 'use' && field !== 'avoid' && field !== 'pins');
  const best: Found[] = [];
  const isWorse = (value: number, latency: number, than: Found): boolean =>
    value > than.value || (value === than.value && latency >= than.latency);
  const offer = (chain: Chain, first: number, second: number): void => {
    const worst = best.length < top ? undefined : best.at(-1);
    let value = score(chain, first, second);
    if (worst !== undefined && value > worst.value) return;
    let latency = latencyOf(chain, first, second);
    if (worst !== undefined && isWorse(value, latency, worst)) return;
    const mayLack = chain.nodes.some(({ memory_mb }) => memory_mb !== null);
    if (
      limits.length > 0 ||
      mayLack ||
      problem.frame !== undefined ||
      !isExact(bytes, objective, chain, first, second)
    ) {
      const plan = planOf(problem, chain, first, second);
      const prediction = predict(problem, sketch(plan, graph));
      if (!limits.every((check) => check.isMet(plan, prediction)) || lackOfMemory(problem, prediction) !== undefined)
        return;
      [value, latency] = [objectiveValue(prediction, objective), prediction.latency_ms];
      if (value === Number.POSITIVE_INFINITY || (worst !== undefined && isWorse(value, latency, worst))) return;
    }
    if (worst !== undefined) best.pop();
    const found = { value, latency, chain, first, second };
    const place = best.findIndex((other) => !isWorse(value, latency, other));
    best.splice(place === -1 ? best.length : place, 0, found);
  };
  for (const chain of chains) allowedCuts(problem, chain).each((first, second) => offer(chain, first, second));
  return best.map(({ chain, first, second }) => planOf(problem, chain, first, second));
}

/** The cuts of a chain with every block on a machine where it may run: how many, and each of them. */
function allowedCuts({ graph, nodes, constraints: { pins = [] } }: Problem, { nodes: row }: Chain) {
  const end = graph.blocks.length - 1;
  const isAllowed = (index: number, block: number): boolean =>
    pins.every((pin) => pin.block !== block || isOf(nodes, pin.on, row[index]!.id));
  const bad = row.map((_, index) => {
    const sums = [0];
    for (let block = 0; block <= end; block++) sums.push(sums[block]! + (isAllowed(index, block) ? 0 : 1));
    return sums;
  });
  const isFree = (index: number, from: number, to: number): boolean => bad[index]![to + 1] === bad[index]![from];
  const each = (visit: (first: number, second: number) => void): void => {
    if (row.length === 1) {
      if (isFree(0, 0, end)) visit(end, end);
      return;
    }
    for (let first = 0; first < end && isFree(0, 0, first); first++) {
      if (row.length === 2) {
        if (isFree(1, first + 1, end)) visit(first, end);
      } else
        for (let second = first + 1; second < end && isFree(1, first + 1, second); second++)
          if (isFree(2, second + 1, end)) visit(first, second);
    }
  };
  return {
    each,
    get count() {
      let count = 0;
      each(() => count++);
      return count;
    },
  };
}

/** The plan of a pipeline; `first` and `second` are the last blocks of its first two stages. */
function planOf(problem: Problem, { nodes }: Chain, first: number, second: number): Plan {
  const { blocks } = problem.graph;
  const ends = [first, second].slice(0, nodes.length - 1);
  const words: string[] = [];
  const stages = nodes.map(({ id }: PlanningNode, index): StageDraft => {
    const from = index === 0 ? 0 : ends[index - 1]! + 1;
    const to = ends[index] ?? blocks.length - 1;
    words.push(`${from === to ? `block ${from}` : `blocks ${from} to ${to}`} on ${id}`);
    const [start, end] = [blocks[from]!.first, blocks[to]!.last];
    const layers = Array.from({ length: end - start + 1 }, (_, offset) => start + offset);
    return {
      ...boundaryOf(problem.graph, layers),
      split: { kind: 'whole' },
      on: { mode: 'share', nodes: [id] },
      fallback: 'central',
      codec: {},
    };
  });
  return composePlan(problem, name, words.join(', '), stages);
}
