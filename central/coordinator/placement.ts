import type { Failure } from '../../shared/errors.ts';
import { allocate, allocateTogether, partMs } from '../scheduler/allocate.ts';
import { hedgeTarget } from '../scheduler/hedge.ts';
import { observeResponse, stageKey } from '../scheduler/statistics.ts';
import { type Candidate, candidatesFor, loadOf } from './candidates.ts';
import { whyNotNodes } from './fallback-reason.ts';
import { loseRequests } from './nodes.ts';
import { fallbackFor, isPlaced, isPreparing, isReady, readyNodes } from './plans.ts';
import { assign, isLive, noteLate, observeSilence } from './requests.ts';
import type { Dispatch, Frame, Node, PartRun, StageRun, State } from './state.ts';

/** Which node does which part: the first request, another after a failure, and a second one (hedge) for stragglers. */

function assignGroups(
  s: State,
  frame: Frame,
  stage: StageRun,
  groups: ReadonlyMap<Candidate, PartRun[]>,
  hedged = false,
): void {
  if (groups.size === 0) return;
  const attempt = stage.attempt++;
  for (const [candidate, parts] of groups) assign(s, frame, stage, candidate, parts, { attempt, hedged });
}

/** A node whose believed speed is below this share of the fastest one's is probed now and then. */
const BELIEVED_SLOW = 0.8;
/**
 * Time of central and broker for one more message and its answer, ms: eight of them took 2.5 to 3.6 ms on a fast core.
 * Parts that cost less than this are done sooner by few nodes than by many.
 */
const TURN_MS = 0.4;

/**
 * Sends a copy of the cheapest part to a node that the allocation has passed over for long because it was slow. Without
 * new measurements such a node would never get work again; a copy costs bytes, never latency.
 */
function probe(s: State, frame: Frame, stage: StageRun, candidates: readonly Candidate[]): void {
  const least = stage.parts.reduce((a, b) => (b.facts.cost < a.facts.cost ? b : a));
  const needs = (candidate: Candidate): number => candidate.messageMs + partMs(loadOf(least), candidate);
  const fastest = Math.min(...candidates.map(needs));
  const starved = candidates
    .filter(
      (candidate) =>
        !candidate.node.isLocal &&
        candidate.node.busy_ms === 0 &&
        s.now - candidate.node.worked_at >= s.options.probe_ms &&
        fastest < BELIEVED_SLOW * needs(candidate),
    )
    .sort((a, b) => a.node.worked_at - b.node.worked_at)[0];
  if (starved === undefined) return;
  if (least.requests.every((request) => request.node !== starved.node))
    assign(s, frame, stage, starved, [least], { attempt: stage.attempt++, probe: true });
}

/** Assigns parts to central, because the plan says so, no other node can do them, or those that could have failed. */
function placeOnCentral(s: State, frame: Frame, stage: StageRun, parts: readonly PartRun[]): Failure | undefined {
  const central = fallbackFor(s, stage.stage);
  const { id } = stage.stage;
  const lost = parts.find((part) => part.failed_on.has(central.id) && part.tries >= s.options.max_tries);
  if (lost !== undefined)
    return {
      code: 'TESSERA_RUN_FAILED',
      message: `stage ${id}, part ${lost.facts.t_id} failed on every node and on central: ${lost.last_error}`,
      hint: 'run `tessera verify` with this model on this machine',
    };
  const { plan } = frame.run;
  const lastError = parts.find((part) => part.last_error !== '')?.last_error ?? '';
  if (isReady(central, frame.run, id)) {
    if (!isPlaced(central, stage.stage.on)) frame.fallback ??= whyNotNodes(s, frame.run, id, lastError);
    assignGroups(s, frame, stage, new Map([[candidatesFor([central], frame, stage)[0]!, [...parts]]]));
    return undefined;
  }
  const readiness = central.readiness.get(plan.id);
  if (readiness?.state === 'refused' && !isPreparing(s, frame.run, id)) {
    const own = `central cannot either: ${readiness.text}`;
    if (isPlaced(central, stage.stage.on))
      return {
        code: 'TESSERA_NO_NODES',
        message: `central cannot do stage ${id} of plan ${plan.id}: ${readiness.text}`,
      };
    const { reason, text } = whyNotNodes(s, frame.run, id, lastError);
    return {
      code: 'TESSERA_NO_NODES',
      message: `stage ${id} of plan ${plan.id}: ${text.includes(readiness.text) ? `${text}; so does central` : `${text}; ${own}`}`,
      hint:
        reason === 'no-nodes'
          ? 'start node agents: `tessera agent`'
          : 'fix what they report, then restart them; `tessera nodes` shows the state of each',
    };
  }
  if (!frame.run.standby.has(id)) {
    frame.run.standby.add(id);
    s.plans_unsettled = true;
  }
  return undefined;
}

/**
 * Assigns the unplaced parts of a stage. A part that cannot be assigned now (memory is full, central still prepares)
 * stays unplaced until the next event. Returns a failure where a part can never be assigned.
 */
export function place(s: State, frame: Frame, stage: StageRun): Failure | undefined {
  const nodes = readyNodes(s, frame.run, stage.stage.id);
  const parts: PartRun[] = [];
  const ours: PartRun[] = [];
  for (const part of stage.parts) {
    if (part.state !== 'unplaced') continue;
    const possible = part.tries < s.options.max_tries && nodes.some((node) => !part.failed_on.has(node.id));
    (possible ? parts : ours).push(part);
  }
  const first = stage.attempt === 0;
  if (parts.length > 0) {
    const candidates = candidatesFor(nodes, frame, stage);
    const allowed = (t: number, k: number): boolean => !parts[t]!.failed_on.has(candidates[k]!.node.id);
    const loads = parts.map(loadOf);
    // While no speed is known every node is tried.
    const turnMs = candidates.some(({ known }) => known) ? TURN_MS : 0;
    let chosen: number[];
    if (stage.stage.on.mode === 'replicate') {
      const together = allocateTogether(loads, candidates, allowed);
      // Where no single node may take all parts that are left, they are shared.
      const apart = together === -1 && parts.some((part) => part.failed_on.size > 0);
      chosen = apart ? allocate(loads, candidates, allowed, turnMs) : loads.map(() => together);
    } else chosen = allocate(loads, candidates, allowed, turnMs);
    const groups = new Map<Candidate, PartRun[]>();
    chosen.forEach((k, t) => {
      const candidate = candidates[k];
      if (candidate === undefined) return;
      const group = groups.get(candidate);
      if (group === undefined) groups.set(candidate, [parts[t]!]);
      else group.push(parts[t]!);
    });
    assignGroups(s, frame, stage, groups);
    if (first && groups.size > 0) probe(s, frame, stage, candidates);
  }
  return ours.length === 0 ? undefined : placeOnCentral(s, frame, stage, ours);
}

/** A dispatch is late: each of its open parts is requested of another node too, once. */
export function hedge(s: State, dispatch: Dispatch): void {
  const { frame, stage } = dispatch;
  const late = dispatch.requests.filter(
    (request) => isLive(request) && request.part.state === 'requested' && !request.part.hedged,
  );
  if (late.length === 0) return;
  noteLate(s, dispatch);
  const waited = s.now - dispatch.assigned_at;
  const candidates = candidatesFor(readyNodes(s, frame.run, stage.stage.id), frame, stage);
  const busy = new Map<Node, number>(candidates.map(({ node }) => [node, node.busy_ms]));
  const groups = new Map<Candidate, PartRun[]>();
  let left = false;
  for (const { part } of late) {
    const others = candidates.filter(
      ({ node }) =>
        !part.failed_on.has(node.id) && !part.requests.some((request) => request.node === node && isLive(request)),
    );
    const options = others.map((candidate) => ({
      idle: candidate.node.busy_ms === 0,
      finishMs: busy.get(candidate.node)! + candidate.messageMs + partMs(loadOf(part), candidate),
    }));
    const candidate = others[hedgeTarget(options, waited)];
    if (candidate === undefined) {
      left = true;
      continue;
    }
    busy.set(candidate.node, busy.get(candidate.node)! + partMs(loadOf(part), candidate));
    const group = groups.get(candidate);
    if (group === undefined) groups.set(candidate, [part]);
    else group.push(part);
  }
  assignGroups(s, frame, stage, groups, true);
  const again = Math.max(s.options.hedge_floor_ms, dispatch.hedge_ms / 2);
  if (left) s.timers.set(`hedge ${dispatch.id}`, s.now + again, { kind: 'hedge', dispatch });
}

/** A dispatch is given up: its parts go to other nodes, and the node counts as slow. */
export function giveUp(s: State, dispatch: Dispatch): void {
  const open = dispatch.requests.filter((request) => request.state === 'queued' || request.state === 'sent');
  if (open.length === 0) return;
  const { node, frame, stage } = dispatch;
  node.counts.given_up += open.length;
  observeSilence(s, dispatch);
  // If the whole cluster has become slow, the next dispatches get more time.
  const key = stageKey(frame.run.plan.id, stage.stage.id);
  observeResponse(node.statistics, key, s.now - dispatch.assigned_at);
  for (const { part, probe: isProbe } of open) {
    if (isProbe) continue;
    part.failed_on.add(node.id);
    part.last_error = `${node.id} did not answer in time`;
  }
  loseRequests(s, open, true);
}
