import type { Stage } from '../../../shared/plan/plan.ts';
import { candidatesOf } from '../cost/places.ts';
import { layersBetween } from '../cost/stage-layers.ts';
import type { PlanningGraph } from '../graph.ts';
import type { Problem } from '../strategy.ts';
import type { Ranked } from './rank.ts';

/** A stage for people: its machines and its blocks. */
export interface StageInBlocks {
  /** Ids: joined by `+` where they share a frame, by `|` where each frame goes to one of them. */
  readonly node: string;
  /** The first and last block of which it computes something. */
  readonly blocks: readonly [first: number, last: number];
  /** Parts, where it has several. */
  readonly parts?: number;
}

/** A ranked plan as `tessera plan --json` prints it. */
export interface PlanInBlocks {
  readonly latency_ms: number;
  readonly transferred_bytes: number;
  readonly stages: readonly StageInBlocks[];
}

/** The blocks of which a stage computes something. */
export function blocksOfStage(graph: PlanningGraph, { inputs, outputs }: Stage): readonly [number, number] {
  const layers = layersBetween(graph, inputs, outputs);
  const touched = graph.blocks.flatMap(({ first, last }, index) =>
    layers.some((layer) => layer >= first && layer <= last) ? [index] : [],
  );
  return [touched[0] ?? 0, touched.at(-1) ?? 0];
}

/** A ranked plan with its stages in blocks; times to a microsecond. */
export function inBlocks({ graph, nodes }: Problem, { plan, prediction }: Ranked): PlanInBlocks {
  return {
    latency_ms: Number(prediction.latency_ms.toFixed(3)),
    transferred_bytes: Math.round(prediction.transferred_bytes),
    stages: plan.stages.map((stage) => {
      const { parts } = prediction.stages[stage.id]!;
      const isWhole = stage.on.mode === 'replicate';
      const ids = isWhole ? candidatesOf(stage.on, nodes) : [...new Set(parts.map(({ node }) => node))];
      return {
        node: ids.join(isWhole ? '|' : '+'),
        blocks: blocksOfStage(graph, stage),
        ...(parts.length > 1 ? { parts: parts.length } : {}),
      };
    }),
  };
}
