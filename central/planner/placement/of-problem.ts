import { TIERS } from '../../../shared/plan/plan.ts';
import { hopMs, hopsOf } from '../cost/hop.ts';
import { layersBetween } from '../cost/stage-layers.ts';
import type { PlanningGraph } from '../graph.ts';
import { isOf } from '../query/check.ts';
import { type NoPlan, type PlanningNode, type Problem, usableNodes, withoutTimes } from '../strategy.ts';
import { layersMs } from '../times.ts';
import type { PlacedTensor, PlacementProblem, Vertex } from './placement.ts';

/**
 * What the vertices of a placement problem are: layers; the blocks of the network; or what lies between cuts at which one
 * tensor crosses, a chain.
 */
export type Grain = 'layers' | 'blocks' | 'chain';

/** Layers that follow one another, as indices; both ends included. */
interface Range {
  readonly first: number;
  readonly last: number;
}

/**
 * The placement problem of a network on the machines where it was profiled, or why there is none. Blocks and
 * chains have the times that were measured of them, alone and together; layers can be cut between any two branches.
 */
export function placementOf(problem: Problem, grain: Grain): PlacementProblem | NoPlan {
  const { graph, source, sink, constraints } = problem;
  const usable = usableNodes(problem);
  const isNamed = (named: string, id: string): boolean => isOf(problem.nodes, named, id);
  const nodes = usable.filter(
    ({ id, times, splits }) =>
      times !== undefined && splits.includes('whole') && !constraints.avoid?.some((named) => isNamed(named, id)),
  );
  if (nodes.length === 0)
    return withoutTimes(usable) ?? { kind: 'impossible', reason: 'no node is left of those that may be used' };
  const ids = [...new Set([...nodes.map(({ id }) => id), source, ...(sink === null ? [] : [sink])])];
  const counting = countingOf(graph);
  const ranges = rangesOf(graph, counting, grain);
  if (ranges.length === 0) return { kind: 'impossible', reason: 'no layer makes any of its outputs' };
  const { tensors, inputs, outputs } = tensorsOf(graph, counting, ranges);
  // A layer is rarely a stage of its own, so that its time alone does not count.
  const timed = nodes.map((node) => (grain === 'layers' ? { ...node, times: { ...node.times!, runs: [] } } : node));
  const hopOf = hopsOf(problem);
  const hops = ids.map((from) => ids.map((to) => hopOf(from, to)));
  return {
    machines: ids.map((id, m) => ({ id, rank: TIERS.indexOf(nodes[m]?.tier ?? 'device') })),
    vertices: ranges.map((range, v): Vertex => {
      const layers = layersOf(range);
      const isPinnedAway = (id: string): boolean => pinsOf(problem, range).some((on) => !isNamed(on, id));
      const ms = ids.map((id, m) =>
        timed[m] === undefined || isPinnedAway(id) ? Infinity : layersMs(timed[m], layers),
      );
      return { layers, ms, inputs: inputs[v]!, outputs: outputs[v]! };
    }),
    tensors,
    source: ids.indexOf(source),
    sink: sink === null ? undefined : ids.indexOf(sink),
    hop: (from, to, bytes) => hopMs(hops[from]![to]!, bytes),
    ...(grain !== 'layers' && !nodes.every(addsUp) ? { joint: jointTimes(nodes, ranges) } : {}),
  };
}

/** Where the user wants blocks that these layers are in. */
function pinsOf({ graph, constraints: { pins = [] } }: Problem, { first, last }: Range): string[] {
  return pins.flatMap(({ block, on }) => {
    const { first: from, last: to } = graph.blocks[block]!;
    return from <= last && first <= to ? [on] : [];
  });
}

/** Differences of times below this share are rounding. */
const ROUNDING = 1e-9;

/** Whether all that was measured of a node as one takes as long as the sum of its layers. */
function addsUp({ times }: PlanningNode): boolean {
  const { layer_ms, runs, ratio } = times!;
  return runs.every(({ first, last, ms }) => {
    const sum = ratio * layer_ms.slice(first, last + 1).reduce((all, own) => all + own, 0);
    return Math.abs(ms - sum) <= ROUNDING * ms;
  });
}

/** The time of consecutive vertices as one stage on each node, as `layersMs` has it, by prefix sums. */
function jointTimes(nodes: readonly PlanningNode[], ranges: readonly Range[]): PlacementProblem['joint'] {
  const known = nodes.map(({ times }) => {
    const { layer_ms, runs, ratio } = times!;
    const sums = [0];
    for (const ms of layer_ms) sums.push(sums.at(-1)! + ms);
    return { sums, ratio, runs: new Map(runs.toReversed().map(({ first, last, ms }) => [`${first} ${last}`, ms])) };
  });
  return (machine, firstVertex, lastVertex) => {
    const { sums, ratio, runs } = known[machine]!;
    const [{ first }, { last }] = [ranges[firstVertex]!, ranges[lastVertex]!];
    return runs.get(`${first} ${last}`) ?? ratio * (sums[last + 1]! - sums[first]!);
  };
}

/** What counts of a network. */
interface Counting {
  /** Tensors that depend on the frame; the others every stage computes itself. */
  readonly moving: ReadonlySet<string>;
  /** The layers (indices) that the network's outputs need and that depend on the frame or make an output. */
  readonly layers: ReadonlySet<number>;
}

function countingOf(graph: PlanningGraph): Counting {
  const moving = new Set(graph.inputs);
  for (const { inputs, outputs } of graph.layers)
    if (inputs.some((tensor) => moving.has(tensor))) for (const output of outputs) moving.add(output);
  const needed = layersBetween(graph, graph.inputs, graph.outputs);
  const counts = (tensor: string): boolean => moving.has(tensor) || graph.outputs.includes(tensor);
  return { moving, layers: new Set(needed.filter((layer) => graph.layers[layer]!.outputs.some(counts))) };
}

/** The layers of each vertex. What makes and what reads a tensor of unknown size is one vertex: it cannot be sent. */
function rangesOf(
  { blocks, layers, tensors }: PlanningGraph,
  { moving, layers: counted }: Counting,
  grain: Grain,
): Range[] {
  const sized = new Set(tensors.map(({ name }) => name));
  const lastReaders = new Map(layers.flatMap((layer, index) => layer.inputs.map((tensor) => [tensor, index] as const)));
  const all = grain === 'layers' ? layers.map((_, index) => ({ first: index, last: index, cut: [] })) : blocks;
  const ranges: Range[] = [];
  let until = -1;
  for (const { first, last, cut } of all) {
    const own = layersOf({ first, last });
    if (!own.some((layer) => counted.has(layer))) continue;
    const before = ranges.at(-1);
    if (before !== undefined && until >= first) ranges[ranges.length - 1] = { first: before.first, last };
    else ranges.push({ first, last });
    if (grain === 'chain' && cut.length > 1) until = Math.max(until, last + 1);
    for (const tensor of own.flatMap((layer) => layers[layer]!.outputs))
      if (moving.has(tensor) && !sized.has(tensor)) until = Math.max(until, lastReaders.get(tensor) ?? -1);
  }
  return ranges;
}

/** The tensors that vertices read from others or from the frame and those that the network outputs; by vertex too. */
function tensorsOf(graph: PlanningGraph, { moving, layers }: Counting, ranges: readonly Range[]) {
  const bytes = new Map(graph.tensors.map((tensor) => [tensor.name, tensor.bytes]));
  const makers = new Map(graph.inputs.map((name) => [name, -1]));
  const readers = new Map<string, Set<number>>();
  ranges.forEach((range, v) => {
    for (const layer of layersOf(range).filter((index) => layers.has(index))) {
      for (const name of graph.layers[layer]!.inputs)
        if (moving.has(name) && makers.get(name) !== v) readers.set(name, (readers.get(name) ?? new Set()).add(v));
      for (const name of graph.layers[layer]!.outputs) makers.set(name, v);
    }
  });
  const tensors = [...makers].flatMap(([name, maker]): PlacedTensor[] => {
    const isAnswer = maker !== -1 && graph.outputs.includes(name);
    const placed = { name, bytes: bytes.get(name) ?? 0, maker, readers: [...(readers.get(name) ?? [])], isAnswer };
    return placed.readers.length > 0 || isAnswer ? [placed] : [];
  });
  const inputs: number[][] = ranges.map(() => []);
  const outputs: number[][] = ranges.map(() => []);
  tensors.forEach((tensor, t) => {
    for (const reader of tensor.readers) inputs[reader]!.push(t);
    outputs[tensor.maker]?.push(t);
  });
  return { tensors, inputs, outputs };
}

function layersOf({ first, last }: Range): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
