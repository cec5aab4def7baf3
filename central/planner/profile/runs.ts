import type { Plan, Stage } from '../../../shared/plan/plan.ts';
import { planId } from '../../../shared/plan/plan-id.ts';
import type { PlanningGraph } from '../graph.ts';

/** A range of blocks, both ends included. */
export type BlockRange = readonly [first: number, last: number];

/** Into so many segments the network is divided too. */
const SEGMENTS = 8;

/**
 * What is measured as one run: every block alone; all blocks before a cut and all behind it, for cuts behind 2, 4, 8, ...
 * blocks from either end and between the eighths of the network; these eighths; and the whole network. So a network of n
 * blocks has n + O(log n) measurements, among them both halves of many plans of two stages.
 */
export function runsToMeasure(blocks: number): BlockRange[] {
  const eighths = Array.from({ length: SEGMENTS + 1 }, (_, part) => Math.round((part * blocks) / SEGMENTS));
  const cuts = new Set(eighths.slice(1, -1));
  for (let width = 2; width < blocks; width *= 2) cuts.add(width).add(blocks - width);
  const runs = [
    ...[...cuts]
      .sort((a, b) => a - b)
      .flatMap((cut): BlockRange[] => [
        [0, cut - 1],
        [cut, blocks - 1],
      ]),
    ...eighths.slice(1).map((end, part): BlockRange => [eighths[part]!, end - 1]),
    [0, blocks - 1] as const,
  ];
  const alone = Array.from({ length: blocks }, (_, block): BlockRange => [block, block]);
  const several = new Map(runs.filter(([first, last]) => first < last).map((run) => [run.join(), run]));
  return [...alone, ...several.values()];
}

/**
 * A plan whose only stage is some blocks of a network, at one node. Undefined where they make nothing that others need,
 * and so take no time. `model` is the SHA-256 of the skeleton.
 */
export function planOfRun(
  graph: PlanningGraph,
  model: string,
  [first, last]: BlockRange,
  node: string,
): Plan | undefined {
  const { layers, blocks, outputs } = graph;
  const own = layers.slice(blocks[first]!.first, blocks[last]!.last + 1);
  const before = blocks[first - 1]?.cut ?? graph.inputs;
  const read = new Set(own.flatMap(({ inputs }) => inputs));
  const needed = new Set([...blocks[last]!.cut, ...outputs]);
  const made = own.flatMap((layer) => layer.outputs).filter((tensor) => needed.has(tensor));
  if (made.length === 0) return undefined;
  const stage: Stage = {
    id: 0,
    inputs: before.filter((tensor) => read.has(tensor)),
    outputs: made,
    split: { kind: 'whole' },
    on: { mode: 'share', nodes: [node] },
    fallback: 'none',
    codec: {},
  };
  const stages = [stage];
  const reason = first === last ? `block ${first}` : `blocks ${first} to ${last}`;
  return {
    format: 'tessera-plan/1',
    id: planId({ model, source: node, stages }),
    model,
    source: node,
    strategy: 'profile',
    reason,
    stages,
    predicted: null,
  };
}
