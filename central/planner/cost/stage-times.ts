import { TesseraError } from '../../../shared/errors.ts';
import type { SchedulablePart, SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import { type NodeCapacity, partMs } from '../../scheduler/allocate.ts';
import type { PlanningNode, Problem } from '../strategy.ts';
import { type LayersTime, layersTime } from '../times.ts';
import { loadOf, type Places } from './places.ts';
import { layersBetween } from './stage-layers.ts';

/** Times of stages on nodes, each computed once. */
export function stageTimes({ graph, nodes }: Problem, { plan, stages }: SchedulablePlan) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const layers = plan.stages.map(({ inputs, outputs }) => layersBetween(graph, inputs, outputs));
  const costs = stages.map(({ parts }, stage) => {
    const macs = layers[stage]!.reduce((sum, layer) => sum + graph.layers[layer]!.macs, 0);
    // Without multiply-adds, parts share the time as they share the outputs.
    return macs > 0 ? macs : parts.length === 1 ? loadOf(parts[0]!).cost : parts.length;
  });
  const known = new Map<string, LayersTime>();
  const wholeOf = (stage: number, node: string): LayersTime => {
    const name = `${stage} ${node}`;
    let time = known.get(name);
    if (time === undefined) {
      time = layersTime(nodeNamed(byId, node, stage), layers[stage]!);
      known.set(name, time);
    }
    return time;
  };
  const capacity = (stage: number, node: string): NodeCapacity => {
    const speed = (1000 * costs[stage]!) / wholeOf(stage, node).ms;
    return { speed, messageMs: 0, msPerByte: 0, busyMs: 0, roomBytes: Number.POSITIVE_INFINITY };
  };
  const partTime = (stage: number, part: SchedulablePart, node: string): LayersTime => {
    const ms = partMs({ cost: loadOf(part).cost, bytes: 0 }, capacity(stage, node));
    const whole = wholeOf(stage, node);
    return { ms, variance: whole.ms === 0 ? 0 : whole.variance * (ms / whole.ms) ** 2 };
  };
  return { capacity, partTime, layers };
}
/** Times of stages on nodes. */
export type StageTimes = ReturnType<typeof stageTimes>;

function nodeNamed(nodes: ReadonlyMap<string, PlanningNode>, id: string, stage: number): PlanningNode {
  const node = nodes.get(id);
  if (node?.times !== undefined) return node;
  throw new TesseraError('TESSERA_PROFILE', `stage ${stage} runs on "${id}", of which the profile has no times`, {
    hint: 'profile that machine too, or give a plan for those of the profile',
  });
}

/** Whether the spread was measured of every node that computes. */
export function hasSpread({ nodes }: Problem, places: readonly Places[]): boolean {
  const used = new Set(places.flat(2));
  return nodes.every(({ id, times }) => !used.has(id) || times?.layer_variance !== undefined);
}

/** The largest error of a node that runs something that was not measured as it runs. */
export function errorOf(
  { nodes, graph }: Problem,
  { plan }: SchedulablePlan,
  places: readonly Places[],
): number | null {
  let most: number | null = 0;
  for (const { id: stage, inputs, outputs, split } of plan.stages) {
    const layers = layersBetween(graph, inputs, outputs);
    for (const node of new Set(places.flatMap((turn) => turn[stage]!))) {
      const { runs = [], error = null } = nodes.find(({ id }) => id === node)?.times ?? {};
      const isMeasured =
        split.kind === 'whole' && runs.some(({ first, last }) => first === layers[0] && last === layers.at(-1));
      if (isMeasured) continue;
      if (error === null) return null;
      most = Math.max(most, error);
    }
  }
  return most;
}
