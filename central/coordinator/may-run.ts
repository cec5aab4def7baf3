import type { Placement, Stage } from '../../shared/plan/plan.ts';
import type { Node, PlanRun, State } from './state.ts';

/** Which nodes may run a stage: those of its placement, and those that the plan lets stand in for them. */

/**
 * Whether a placement includes a node, for part `t_id` or for any part. The local node is in `*` only where a part is
 * pinned to it, and in a tier only where the configuration gives it one.
 */
export function isPlaced(node: Node, on: Placement, t_id?: number): boolean {
  if (on.parts !== undefined && !(t_id === undefined ? on.parts.includes(node.id) : on.parts[t_id] === node.id))
    return false;
  if ('tier' in on) return node.tier === on.tier;
  if (on.nodes === '*') return !node.isLocal || on.parts !== undefined;
  return on.nodes.includes(node.id);
}

/** Whether a node may run a stage that the nodes of its placement cannot run. */
export function mayStandIn(node: Node, { fallback }: Stage): boolean {
  if (fallback === 'none') return false;
  if (fallback === 'central') return node.isLocal;
  return fallback === 'nodes' ? !node.isLocal : fallback.includes(node.id);
}

/** Whether a node is online and trusted. */
export function isPresent(node: Node): boolean {
  return node.presence === 'online' && !node.audit.out;
}

/** Whether a node may be given work of a stage now. */
export function isReady(node: Node, run: PlanRun, stage: number): boolean {
  return isPresent(node) && !node.isDrained && node.readiness.get(run.plan.id)?.usable.includes(stage) === true;
}

/** Nodes in a stage's placement that are ready for it, in the order in which they came. */
export function readyNodes(s: State, run: PlanRun, stage: number): Node[] {
  const { on } = run.plan.stages[stage]!;
  return [...s.nodes.values()].filter((node) => isPlaced(node, on) && isReady(node, run, stage));
}

/** Nodes that are ready to stand in for those of a stage's placement. */
export function readyStandIns(s: State, run: PlanRun, stage: Stage): Node[] {
  return [...s.nodes.values()].filter((node) => mayStandIn(node, stage) && isReady(node, run, stage.id));
}

/** Whether each part of a stage has a node of its placement that is ready. */
export function isStaffed(s: State, run: PlanRun, stage: Stage): boolean {
  const ready = readyNodes(s, run, stage.id);
  const { parts } = stage.on;
  return parts === undefined ? ready.length > 0 : parts.every((id) => ready.some((node) => node.id === id));
}

/**
 * Whether a node may yet become ready for a stage: it was asked to prepare it and has not answered, or will be asked, or
 * it is silent and not yet known to be offline.
 */
function isPending(node: Node, run: PlanRun, stage: number): boolean {
  if (node.presence === 'offline' || node.audit.out || isReady(node, run, stage)) return false;
  const readiness = node.readiness.get(run.plan.id);
  return readiness?.state !== 'refused' || readiness.usable.includes(stage);
}

/** Whether a node in a stage's placement may yet become ready for it. */
export function isPlacePending(s: State, run: PlanRun, stage: Stage): boolean {
  return [...s.nodes.values()].some((node) => isPlaced(node, stage.on) && isPending(node, run, stage.id));
}

/** Whether a node that may stand in for a stage's placement may yet become ready for it. */
export function isStandInPending(s: State, run: PlanRun, stage: Stage): boolean {
  return [...s.nodes.values()].some((node) => mayStandIn(node, stage) && isPending(node, run, stage.id));
}

/** Whether a model has this plan, or is about to get it. */
export function isCurrent(s: State, run: PlanRun): boolean {
  return [...s.models.values()].some(({ active, pending }) => active === run || pending === run);
}

/** Frames of a model that are under way together at least: one is decoded and one is finished while one is computed. */
const LEAST_OPEN = 3;

/**
 * How many frames of a plan its machines can work at together, and one more, so that none waits for the next: at a stage
 * of `replicate` as many as it has nodes, at a stage whose parts are shared as many as have all their parts at nodes of
 * their own; stages at the same nodes take turns. More would only wait, and results would be late.
 */
export function frameCapacity(s: State, run: PlanRun): number {
  const places = new Map<string, number>();
  for (const { id, on } of run.plan.stages) {
    const parts = on.mode === 'replicate' ? 1 : run.facts.stages[id]!.parts.length;
    const where = 'tier' in on ? `tier ${on.tier}` : `nodes ${on.nodes}`;
    const count = Math.max(1, Math.floor(readyNodes(s, run, id).length / parts));
    places.set(where, Math.max(places.get(where) ?? 0, count));
  }
  return Math.max(LEAST_OPEN, 1 + [...places.values()].reduce((sum, count) => sum + count, 0));
}
