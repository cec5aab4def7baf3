import { isRetryable } from '../../shared/errors.ts';
import type { SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import type { Placement, Stage } from '../../shared/plan/plan.ts';
import { forgetPlan } from '../scheduler/statistics.ts';
import type { ModelRun, Node, PlanRun, Readiness, State } from './state.ts';

/** Whether a placement includes a node. It includes the local node only by name. */
export function isPlaced(node: Node, on: Placement): boolean {
  if ('tier' in on) return !node.isLocal && node.tier === on.tier;
  return on.nodes === '*' ? !node.isLocal : on.nodes.includes(node.id);
}

/** Whether a node may be given work of a stage now. */
export function isReady(node: Node, run: PlanRun, stage: number): boolean {
  if (node.presence !== 'online' || node.audit.out) return false;
  return node.readiness.get(run.plan.id)?.usable.includes(stage) === true;
}

/** The node that does a stage when no node of its placement can: central, since compile.ts refuses other fallbacks. */
export function fallbackFor(s: State, { fallback }: Stage): Node {
  return s.nodes.get(fallback)!;
}

/** Nodes in a stage's placement that are ready for it, in the order in which they came. */
export function readyNodes(s: State, run: PlanRun, stage: number): Node[] {
  const { on } = run.plan.stages[stage]!;
  return [...s.nodes.values()].filter((node) => isPlaced(node, on) && isReady(node, run, stage));
}

/** Whether a node in a stage's placement still prepares the plan. */
export function isPreparing(s: State, run: PlanRun, stage: number): boolean {
  const { on } = run.plan.stages[stage]!;
  return [...s.nodes.values()].some(
    (node) =>
      isPlaced(node, on) &&
      node.presence === 'online' &&
      !node.audit.out &&
      node.readiness.get(run.plan.id)?.state === 'preparing',
  );
}

/** Adds a plan. */
function newRun(s: State, facts: SchedulablePlan): PlanRun {
  const { plan } = facts;
  const run: PlanRun = { plan, facts, since: s.now, open: 0, standby: new Set() };
  s.plans.set(plan.id, run);
  s.effects.push({ type: 'plan-added', plan: plan.id });
  return run;
}

/** Makes a plan the pending one of a model; offering the active or the pending one again changes nothing. */
export function offerPlan(s: State, name: string, facts: SchedulablePlan): void {
  const { id } = facts.plan;
  const model: ModelRun = s.models.get(name) ?? { name, active: null, pending: null };
  s.models.set(name, model);
  if (model.active?.plan.id === id) {
    model.pending = null;
  } else {
    const run = s.plans.get(id) ?? newRun(s, facts);
    if (model.pending === run) return;
    model.pending = run;
    run.since = s.now;
    for (const ms of [s.options.settle_ms, s.options.patience_ms])
      s.timers.set(`start ${id} ${ms}`, s.now + ms, { kind: 'look' });
  }
}

/**
 * The readiness that an answer is about; undefined where it answers an earlier `prepare` than the latest. A node that
 * prepares a plan while it is released and offered again answers both: the first was released.
 */
function readinessFor(node: Node, plan: string, request: number | undefined): Readiness | undefined {
  const readiness = node.readiness.get(plan);
  return request === undefined || readiness?.request === request ? readiness : undefined;
}

/** A node is ready for the stages of the latest `prepare`. */
export function onNodeReady(s: State, node: Node, plan: string, request: number | undefined): void {
  const readiness = readinessFor(node, plan, request);
  if (readiness === undefined) return;
  s.timers.clear(`prepare ${node.id} ${plan}`);
  readiness.state = 'ready';
  readiness.usable = readiness.stages;
  readiness.refusals = 0;
  node.worked_at = s.now;
  if (!node.isLocal)
    s.effects.push({ type: 'node-event', node: node.id, event: 'ready', plan, text: `is ready for plan ${plan}` });
}

/** Longest pause before a `prepare` is repeated after refusals, in units of `prepare_again_ms`. */
const MAX_PAUSES = 16;

/**
 * A node refuses a plan. `prepare` is repeated once the node is restarted, or after a pause where the reason may pass.
 * Stages that were usable before stay usable.
 */
export function onNodeRefused(
  s: State,
  node: Node,
  { plan, request, code, text }: { plan: string; request?: number | undefined; code: string; text: string },
): void {
  const readiness = readinessFor(node, plan, request);
  if (readiness === undefined) return;
  s.timers.clear(`prepare ${node.id} ${plan}`);
  readiness.state = 'refused';
  readiness.code = code;
  readiness.text = text;
  const pauses = Math.min(MAX_PAUSES, 2 ** readiness.refusals++);
  if (isRetryable(code) && !node.isLocal) {
    readiness.again_at = s.now + pauses * s.options.prepare_again_ms;
    s.timers.set(`prepare ${node.id} ${plan}`, readiness.again_at, { kind: 'look' });
  }
  if (!node.isLocal) s.effects.push({ type: 'node-event', node: node.id, event: 'refused', plan, text });
}

/** Sends `prepare` for stages that a node is to do and has not been told of, and repeats one that is overdue. */
function prepare(s: State, run: PlanRun, node: Node, stages: readonly number[]): void {
  const { id } = run.plan;
  const known = node.readiness.get(id);
  const all = [...new Set([...(known?.stages ?? []), ...stages])].sort((a, b) => a - b);
  if (known !== undefined) {
    const overdue = !node.isLocal && s.now >= known.requested_at + s.options.prepare_again_ms;
    const isDue =
      (known.state === 'preparing' && overdue) ||
      (known.state === 'ready' && all.length > known.stages.length) ||
      (known.state === 'refused' && s.now >= known.again_at);
    if (!isDue) return;
  }
  const readiness: Readiness = {
    state: 'preparing',
    requested_at: s.now,
    // A repeated `prepare` has the number of the first: either answer counts.
    request: known?.state === 'preparing' && known.stages.length === all.length ? known.request : s.prepares++,
    stages: all,
    usable: known?.usable ?? [],
    code: '',
    text: '',
    refusals: known?.refusals ?? 0,
    again_at: Number.POSITIVE_INFINITY,
  };
  node.readiness.set(id, readiness);
  s.effects.push({ type: 'prepare', node: node.id, plan: run.plan, stages: all, request: readiness.request });
  if (!node.isLocal) s.timers.set(`prepare ${node.id} ${id}`, s.now + s.options.prepare_again_ms, { kind: 'look' });
}

/** Whether frames may begin with a plan now. Stages that no node becomes ready for in time are left to the fallback. */
function canStart(s: State, run: PlanRun): boolean {
  const waited = s.now - run.since;
  let allReady = true;
  let somePreparing = false;
  for (const { id: stage } of run.plan.stages) {
    const ready = readyNodes(s, run, stage).length > 0;
    const preparing = isPreparing(s, run, stage);
    allReady &&= ready;
    somePreparing ||= preparing;
    if (!ready && waited >= (preparing ? s.options.patience_ms : s.options.settle_ms)) run.standby.add(stage);
  }
  if (allReady) return !somePreparing || waited >= s.options.settle_ms;
  return run.plan.stages.every((stage) => {
    const { id } = stage;
    const fallback = fallbackFor(s, stage);
    const readiness = fallback.readiness.get(run.plan.id);
    return (
      readyNodes(s, run, id).length > 0 ||
      // If the fallback cannot do the stage either, frames are accepted and end with the reason, so that it is seen.
      (run.standby.has(id) && (isReady(fallback, run, id) || readiness?.state === 'refused')) ||
      (readiness?.state === 'refused' && readiness.stages.includes(id))
    );
  });
}

function retire(s: State, run: PlanRun): void {
  const { id } = run.plan;
  for (const node of s.nodes.values()) {
    if (node.readiness.delete(id) && node.presence !== 'offline')
      s.effects.push({ type: 'release-plan', node: node.id, plan: id });
    s.timers.clear(`prepare ${node.id} ${id}`);
    forgetPlan(node.statistics, id);
  }
  for (const ms of [s.options.settle_ms, s.options.patience_ms]) s.timers.clear(`start ${id} ${ms}`);
  s.plans.delete(id);
  s.effects.push({ type: 'plan-retired', plan: id });
}

/** Activates pending plans that can start, retires unused ones, and has nodes prepare their stages. */
export function settlePlans(s: State): void {
  for (const model of s.models.values()) {
    if (model.pending === null || !canStart(s, model.pending)) continue;
    model.active = model.pending;
    model.pending = null;
    s.effects.push({ type: 'plan-active', model: model.name, plan: model.active.plan.id });
  }
  const current = new Set([...s.models.values()].flatMap(({ active, pending }) => [active, pending]));
  const active = new Set([...s.models.values()].map((model) => model.active));
  for (const run of s.plans.values()) {
    if (!current.has(run) && run.open === 0) {
      retire(s, run);
      continue;
    }
    for (const { id: stage } of run.plan.stages)
      if ((active.has(run) || run.open > 0) && readyNodes(s, run, stage).length === 0) run.standby.add(stage);
    for (const node of s.nodes.values()) {
      if (node.presence !== 'online' || node.audit.out) continue;
      const placed = run.plan.stages.filter(
        (stage) => isPlaced(node, stage.on) || (run.standby.has(stage.id) && fallbackFor(s, stage) === node),
      );
      if (placed.length > 0 && (current.has(run) || node.isLocal))
        prepare(
          s,
          run,
          node,
          placed.map((stage) => stage.id),
        );
    }
  }
}
