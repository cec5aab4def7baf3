import { counted } from '../../shared/counted.ts';
import type { Failure } from '../../shared/errors.ts';
import { allocate, allocateTogether, partMs } from '../scheduler/allocate.ts';
import { hedgeTarget } from '../scheduler/hedge.ts';
import { observeResponse, stageKey } from '../scheduler/statistics.ts';
import { hasFrameFor, takeFrame } from './birthplace.ts';
import { type Candidate, candidatesFor, loadOf } from './candidates.ts';
import { whyNone, whyNotPlaced } from './fallback-reason.ts';
import { isPlaced, isPlacePending, isStandInPending, readyNodes, readyStandIns } from './may-run.ts';
import { loseRequests } from './nodes.ts';
import { isReadable, isReadableYet } from './regions.ts';
import { assign, isLive, noteLate, observeSilence } from './requests.ts';
import { chooseHomes } from './routes.ts';
import type { Dispatch, Frame, Node, PartRun, StageRun, State } from './state.ts';
import { bringHome } from './transfers.ts';

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
  for (const [candidate, parts] of groups) {
    // Central gets its inputs before its work; until then its parts stay unplaced.
    const ready = candidate.node.isLocal ? parts.filter((part) => bringHome(s, frame, part)) : parts;
    if (ready.length > 0) assign(s, frame, stage, candidate, ready, { attempt, hedged });
  }
  chooseHomes(s, frame, stage);
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
function probe(
  s: State,
  frame: Frame,
  stage: StageRun,
  parts: readonly PartRun[],
  candidates: readonly Candidate[],
): void {
  const least = parts.reduce((a, b) => (b.facts.cost < a.facts.cost ? b : a));
  const needs = (candidate: Candidate): number => candidate.messageMs + partMs(loadOf(least), candidate);
  const fastest = Math.min(...candidates.map(needs));
  const starved = candidates
    .filter(
      (candidate) =>
        !candidate.node.isLocal &&
        hasFrameFor(s, frame, least, candidate.node) &&
        candidate.node.busy_ms === 0 &&
        s.now - candidate.node.worked_at >= s.options.probe_ms &&
        fastest < BELIEVED_SLOW * needs(candidate),
    )
    .sort((a, b) => a.node.worked_at - b.node.worked_at)[0];
  if (starved === undefined) return;
  if (least.requests.every((request) => request.node !== starved.node))
    assign(s, frame, stage, starved, [least], { attempt: stage.attempt++, probe: true });
}

/** Assigns parts to some of these nodes; a part that none of them has memory for stays unplaced. */
function spread(
  s: State,
  frame: Frame,
  stage: StageRun,
  nodes: readonly Node[],
  parts: readonly PartRun[],
  may: (part: PartRun, node: Node) => boolean,
): void {
  const candidates = candidatesFor(nodes, frame, stage);
  const allowed = (t: number, k: number): boolean => may(parts[t]!, candidates[k]!.node);
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
  const first = stage.attempt === 0;
  assignGroups(s, frame, stage, groups);
  if (first && groups.size > 0 && stage.stage.on.parts === undefined) probe(s, frame, stage, parts, candidates);
}

/** Why a part can never be assigned; `able`: the nodes that could do it if it had not failed on them. */
function failureOf(s: State, { run }: Frame, { stage }: StageRun, part: PartRun, able: readonly Node[]): Failure {
  const { t_id } = part.facts;
  if (able.length > 0)
    return {
      code: 'TESSERA_RUN_FAILED',
      message: `stage ${stage.id}, part ${t_id} failed ${counted(part.tries, 'time')}: ${part.last_error || 'its nodes were lost'}`,
      hint: 'run `tessera verify` with this model on this machine',
    };
  const { reason, text } = whyNone(s, run, stage, part);
  return {
    code: 'TESSERA_NO_NODES',
    message: `stage ${stage.id} of plan ${run.plan.id}: ${text}`,
    hint:
      reason === 'no-nodes'
        ? 'start node agents: `tessera agent`'
        : 'fix what they report, then restart them; `tessera nodes` shows the state of each',
  };
}

/**
 * Assigns the unplaced parts of a stage: to nodes of its placement, else to nodes that may stand in for them, else to
 * nodes that failed them before. A part that cannot be assigned now (memory is full, a node still prepares) stays
 * unplaced until the next event. Returns a failure where a part can never be assigned.
 */
export function place(s: State, frame: Frame, stage: StageRun): Failure | undefined {
  const { run } = frame;
  const { id, on, fallback } = stage.stage;
  const own = readyNodes(s, run, id);
  const standIns = readyStandIns(s, run, stage.stage);
  const owners = new Set(own);
  const isMine = (part: PartRun, node: Node): boolean => owners.has(node) && isPlaced(node, on, part.facts.t_id);
  const isUntried = (part: PartRun, node: Node): boolean =>
    !part.failed_on.has(node.id) && (node.isLocal || part.tries < s.options.max_tries);
  const mayDo = (part: PartRun, id: string): boolean => {
    const node = s.nodes.get(id);
    if (node === undefined || !isUntried(part, node)) return false;
    return isMine(part, node) || standIns.includes(node);
  };
  const first: PartRun[] = [];
  const replaced: PartRun[] = [];
  const again: PartRun[] = [];
  for (const part of stage.parts) {
    if (part.state !== 'unplaced' || !isReadableYet(s, frame, part)) continue;
    const isOwn = own.some((node) => isMine(part, node) && isUntried(part, node));
    const isReplaced = !isOwn && standIns.some((node) => isUntried(part, node));
    const isElsewhere = part.facts.reads_frame && frame.at !== s.central.id;
    // What is taken comes to central, and then any node can have it.
    if (isElsewhere && frame.isTaken) continue;
    if (isElsewhere && (isOwn || isReplaced) && !mayDo(part, frame.at)) takeFrame(s, frame);
    else if (isOwn) first.push(part);
    else if (isReplaced) replaced.push(part);
    else if (!run.standby.has(id)) {
      run.standby.add(id);
      s.plans_unsettled = true;
    } else if (!isPlacePending(s, run, stage.stage) && !isStandInPending(s, run, stage.stage)) {
      const mine = own.filter((node) => isMine(part, node));
      const all = [...mine, ...standIns];
      if (all.length === 0 || part.tries >= s.options.max_tries)
        return failureOf(s, frame, stage, part, fallback === 'none' ? mine : standIns);
      again.push(part);
    }
  }
  if (first.length > 0) {
    const may = (part: PartRun, node: Node): boolean =>
      isMine(part, node) && isUntried(part, node) && hasFrameFor(s, frame, part, node);
    const isHome = (part: PartRun, node: Node): boolean =>
      part.home === null || part.home === node || !may(part, part.home);
    spread(s, frame, stage, own, first, (part, node) => may(part, node) && isHome(part, node));
  }
  if (replaced.length > 0) {
    frame.fallback ??= whyNotPlaced(s, run, stage.stage, replaced[0]!);
    const may = (part: PartRun, node: Node): boolean => isUntried(part, node) && hasFrameFor(s, frame, part, node);
    spread(s, frame, stage, standIns, replaced, may);
  }
  if (again.length > 0) {
    const nodes = [...new Set([...own, ...standIns])];
    const may = (part: PartRun, node: Node): boolean =>
      (standIns.includes(node) || isMine(part, node)) && hasFrameFor(s, frame, part, node);
    spread(s, frame, stage, nodes, again, may);
  }
  return undefined;
}

/** A dispatch is late: each of its open parts is requested of another node too, once. */
export function hedge(s: State, dispatch: Dispatch): void {
  const { frame, stage } = dispatch;
  const late = dispatch.requests.filter(
    (request) =>
      isLive(request) &&
      request.part.state === 'requested' &&
      !request.part.hedged &&
      isReadable(s, frame, request.part),
  );
  if (late.length === 0) return;
  noteLate(s, dispatch);
  const waited = s.now - dispatch.assigned_at;
  const { id, on } = stage.stage;
  const candidates = candidatesFor(readyNodes(s, frame.run, id), frame, stage);
  const busy = new Map<Node, number>(candidates.map(({ node }) => [node, node.busy_ms]));
  const groups = new Map<Candidate, PartRun[]>();
  let left = false;
  for (const { part } of late) {
    const others = candidates.filter(
      ({ node }) =>
        isPlaced(node, on, part.facts.t_id) &&
        hasFrameFor(s, frame, part, node) &&
        !part.failed_on.has(node.id) &&
        !part.requests.some((request) => request.node === node && isLive(request)),
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
