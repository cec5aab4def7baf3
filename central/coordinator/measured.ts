import { type LinkStatistics, stageKey } from '../scheduler/statistics.ts';
import type { State } from './state.ts';

/** What central measured of a node, as far as the node has had work. */
export interface MeasuredNode {
  /** Parts whose results were used, since central started. */
  readonly parts: number;
  /** Cost per second, by stage of the plan; undefined where the node has not done a part of it. */
  readonly speeds: readonly (number | undefined)[];
  /** Of its latest messages, there and back, on average; undefined before the first one. */
  readonly message: { readonly bytes: number; readonly ms: number } | undefined;
  /** The share (0..1) of the announced memory that is believed to be there. */
  readonly memory: number;
}

/** What was measured of every node that is there and not left out, at a plan. */
export function measuredAt(s: State, plan: string): Map<string, MeasuredNode> {
  const stages = s.plans.get(plan)?.plan.stages ?? [];
  const present = [...s.nodes.values()].filter(({ presence, audit }) => presence !== 'offline' && !audit.out);
  return new Map(
    present.map(({ id, counts, statistics, memory }) => [
      id,
      {
        parts: counts.tiles,
        speeds: stages.map((stage) => statistics.stages.get(stageKey(plan, stage.id))?.speed),
        message: meanOf(statistics.link),
        memory: memory.announced === Number.POSITIVE_INFINITY ? 1 : memory.bytes / memory.announced,
      },
    ]),
  );
}

function meanOf({ count, bytes, ms }: LinkStatistics): MeasuredNode['message'] {
  return count === 0 ? undefined : { bytes: bytes / count, ms: ms / count };
}
