import type { NodeCapacity } from '../scheduler/allocate.ts';
import { estimateSpeeds, linkOf, stageKey } from '../scheduler/statistics.ts';
import type { Frame, Node, PartRun, StageRun } from './state.ts';

/** Cost per second that is assumed while no node's speed is known; only its order of magnitude matters. */
const NOMINAL_SPEED = 1e9;

/** A node that parts of a stage may be assigned to, as the allocation sees it. */
export interface Candidate extends NodeCapacity {
  readonly node: Node;
  /** Whether its speed was measured, at this stage or another. */
  readonly known: boolean;
}

/** Cost and bytes of a part in an allocation. */
export function loadOf({ facts }: PartRun): { cost: number; bytes: number } {
  return { cost: Math.max(1, facts.cost), bytes: facts.bytes_in + facts.bytes_out };
}

/** Key of a stage of a frame's plan in statistics. */
export function keyOf(frame: Frame, stage: StageRun): string {
  return stageKey(frame.run.plan.id, stage.stage.id);
}

/** Nodes with their speed, load and free memory for a stage of a frame. */
export function candidatesFor(nodes: readonly Node[], frame: Frame, stage: StageRun): Candidate[] {
  const speeds = estimateSpeeds(
    nodes.map((node) => node.statistics),
    keyOf(frame, stage),
  );
  return nodes.map((node, k) => {
    const { messageMs, msPerByte } = linkOf(node.statistics);
    return {
      node,
      known: speeds[k] !== undefined,
      speed: speeds[k] ?? NOMINAL_SPEED,
      messageMs,
      msPerByte,
      busyMs: node.busy_ms,
      roomBytes: node.memory.bytes - node.assigned_bytes,
    };
  });
}
