import { isRetryable } from '../../shared/errors.ts';
import type { SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { forgetPlan } from '../scheduler/statistics.ts';
import type { NodeReady } from './events.ts';
import {
  isCurrent,
  isPlaced,
  isPlacePending,
  isPresent,
  isStaffed,
  isStandInPending,
  mayStandIn,
  readyStandIns,
} from './may-run.ts';
import { waysOf } from './routes.ts';
import type { ModelRun, Node, PlanRun, Readiness, State } from './state.ts';

/** Adds a plan. */
function newRun(s: State, facts: SchedulablePlan): PlanRun {
  const { plan } = facts;
  const run: PlanRun = { plan, facts, ways: waysOf(facts), since: s.now, open: 0, standby: new Set() };
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

/** A node is ready for the stages of the latest `prepare`, or for some of them while it prepares the others. */
export function onNodeReady(s: State, node: Node, { plan, request, stages }: NodeReady): void {
  const readiness = readinessFor(node, plan, request);
  if (readiness === undefined) return;
  if (stages !== undefined) {
    readiness.usable = readiness.stages.filter((id) => readiness.usable.includes(id) || stages.includes(id));
    return;
  }
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

/** Whether a node has announced stages of a plan and still prepares others. */
function isPartlyReady(node: Node, plan: string): boolean {
  const readiness = node.readiness.get(plan);
  return readiness?.state === 'preparing' && readiness.usable.length > 0;
}

/**
 * Whether frames may begin with a plan now. Stages that no node becomes ready for in time are left to stand-ins. The first
 * plan of a model starts also where no node can do a stage: its frames end with the reason, so that it is seen. Another
 * one replaces the `active` plan only once each stage has nodes.
 */
function canStart(s: State, run: PlanRun, active: PlanRun | null): boolean {
  const waited = s.now - run.since;
  const { stages } = run.plan;
  const waitsFor = stages.filter((stage) => !isStaffed(s, run, stage));
  // Stages that are there run while the weights of later ones still travel (IONN).
  const isBegun = [...s.nodes.values()].some((node) => !node.isLocal && isPartlyReady(node, run.plan.id));
  for (const stage of waitsFor) {
    const isWaitedFor = isPlacePending(s, run, stage) && !(isBegun && stage.fallback !== 'none');
    if (waited >= (isWaitedFor ? s.options.patience_ms : s.options.settle_ms)) run.standby.add(stage.id);
  }
  if (waitsFor.length === 0)
    return waited >= s.options.settle_ms || !stages.some((stage) => isPlacePending(s, run, stage));
  return waitsFor.every((stage) => {
    if (run.standby.has(stage.id) && readyStandIns(s, run, stage).length > 0) return true;
    if (active !== null) return false;
    const own = s.central.readiness.get(run.plan.id);
    if (own?.state === 'refused' && own.stages.includes(stage.id)) return true;
    return run.standby.has(stage.id) && !isStandInPending(s, run, stage);
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
    if (model.pending === null || !canStart(s, model.pending, model.active)) continue;
    model.active = model.pending;
    model.pending = null;
    s.effects.push({ type: 'plan-active', model: model.name, plan: model.active.plan.id });
  }
  const active = new Set([...s.models.values()].map((model) => model.active));
  for (const run of s.plans.values()) {
    if (!isCurrent(s, run) && run.open === 0) {
      retire(s, run);
      continue;
    }
    for (const stage of run.plan.stages)
      if ((active.has(run) || run.open > 0) && !isStaffed(s, run, stage)) run.standby.add(stage.id);
    const isUsed = isCurrent(s, run);
    for (const node of s.nodes.values()) {
      if (!isPresent(node)) continue;
      // Of a plan that only open frames use, nodes prepare what would otherwise have no node.
      const stages = run.plan.stages.filter((stage) =>
        run.standby.has(stage.id)
          ? isPlaced(node, stage.on) || mayStandIn(node, stage)
          : isPlaced(node, stage.on) && (isUsed || node.isLocal),
      );
      if (stages.length > 0)
        prepare(
          s,
          run,
          node,
          stages.map(({ id }) => id),
        );
    }
  }
}
