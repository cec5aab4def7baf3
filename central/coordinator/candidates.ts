import type { NodeCapacity } from '../scheduler/allocate.ts';
import { estimateSpeeds, linkOf, stageKey } from '../scheduler/statistics.ts';
import type { Frame, Node, PartRun, StageRun } from './state.ts';

/** Cost per second that is assumed where nobody has shown any speed yet; only its order of magnitude matters. */
const NOMINAL_SPEED = 1e9;

/** A node as the allocation sees it. */
export interface Candidate extends NodeCapacity {
  readonly node: Node;
  /** Whether its speed was measured, here or elsewhere. */
  readonly known: boolean;
}

/** What a part weighs in an allocation. */
export function loadOf({ facts }: PartRun): { cost: number; bytes: number } {
  return { cost: Math.max(1, facts.cost), bytes: facts.bytes_in + facts.bytes_out };
}

/** The name of a stage of a frame's plan in statistics. */
export function keyOf(frame: Frame, stage: StageRun): string {
  return stageKey(frame.run.plan.id, stage.stage.id);
}

/** The nodes with speed, load and room for a stage of a frame. */
export function candidatesFor(nodes: readonly Node[], frame: Frame, stage: StageRun): Candidate[] {
  const speeds = estimateSpeeds(
    nodes.map((node) => node.statistics),
    keyOf(frame, stage),
  );
  return nodes.map((node, k) => ({
    node,
    known: speeds[k] !== undefined,
    speed: speeds[k] ?? NOMINAL_SPEED,
    ...linkOf(node.statistics),
    busyMs: node.busy_ms,
    roomBytes: node.memory.bytes - node.assigned_bytes,
  }));
}
