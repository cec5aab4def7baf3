import { CENTRAL } from '../../shared/plan/plan.ts';
import { believe } from '../scheduler/belief.ts';
import { noteEnoughMemory, noteOutOfMemory } from '../scheduler/memory.ts';
import { observeWork, stageKey } from '../scheduler/statistics.ts';
import { audit, auditOf, onFirstFailed, onSecond } from './audit.ts';
import { loadOf } from './candidates.ts';
import type { DiscardReason } from './effects.ts';
import type { AnswerAddress, PartAnswer, PartError, PartResult, RegionsMoved } from './events.ts';
import { fill, partDone, takeExit } from './frames.ts';
import { forgetNode, lose } from './losses.ts';
import { isPresent } from './may-run.ts';
import { onHeard } from './nodes.ts';
import { deliveryName, isAtCentral, makerOf } from './regions.ts';
import { answer, cancel, dispatchName, end, failed, isLive } from './requests.ts';
import type { EndedRequests, Fetch, Frame, Node, PartRun, Request, State } from './state.ts';
import { believable, endFetch } from './transfers.ts';

/** Answers of nodes: results and errors are taken, or counted and discarded. */

/** The request that an event answers, or why it answers none. */
function findRequest(s: State, event: PartAnswer): { frame: Frame; request: Request } | DiscardReason {
  if (!event.i_id.startsWith(`${s.options.epoch}-`)) return 'stale-epoch';
  const frame = s.frames.get(event.i_id);
  if (frame === undefined) return s.ended.get(event.i_id)?.has(event.node) === true ? 'late' : 'stray';
  if (frame.run.plan.id !== event.plan) return 'stray';
  const requests = frame.stages[event.stage]?.parts[event.t_id]?.requests ?? [];
  const request = requests.find(
    (candidate) =>
      candidate.node.id === event.node && candidate.dispatch.attempt === event.attempt && candidate.sent_at !== null,
  );
  if (request === undefined) return 'stray';
  return request.state === 'answered' || request.state === 'failed' ? 'duplicate' : { frame, request };
}

/** Whether a message may answer a request, by its address alone; where it cannot, the reason is counted. */
export function isAwaited(s: State, of: AnswerAddress): boolean {
  const note = unasked(s, of);
  if (note === undefined) return true;
  s.discarded[note]++;
  const node = s.nodes.get(of.node);
  if (node !== undefined) node.counts.unasked++;
  return false;
}

function unasked(s: State, { node, plan, i_id, stage, attempt }: AnswerAddress): DiscardReason | undefined {
  if (!i_id.startsWith(`${s.options.epoch}-`)) return 'stale-epoch';
  for (const { request, i_id: frame, phase } of s.audits.values())
    if (phase === 'requested' && frame === i_id && request.node.id === node && request.dispatch.attempt === attempt)
      return undefined;
  const frame = s.frames.get(i_id);
  if (frame === undefined) {
    const asked = s.ended.get(i_id)?.get(node);
    return asked === undefined ? 'stray' : asked.open > 0 ? undefined : 'late';
  }
  const dispatch = frame.run.plan.id === plan ? frame.dispatches.get(dispatchName(node, stage, attempt)) : undefined;
  if (dispatch === undefined || dispatch.messages === 0) return 'stray';
  return dispatch.requests.some(({ state }) => state !== 'answered' && state !== 'failed') ? undefined : 'duplicate';
}

/** Counts a result or error that answers no request. */
function countUnused(s: State, note: DiscardReason, node: Node | undefined, event: PartResult | PartError): void {
  s.discarded[note]++;
  // A late answer to a request is slow, not useless; each request excuses one answer.
  const asked = note === 'late' && node !== undefined ? s.ended.get(event.i_id)?.get(node.id) : undefined;
  if (asked === undefined || asked.open === 0) {
    s.unused++;
    return;
  }
  if (event.type === 'part-result') learn(s, node!, event, asked);
  asked.open--;
}

/** A result for a frame that has ended still updates the node's speed, once per request. */
function learn(s: State, node: Node, event: PartResult, asked: EndedRequests): void {
  const facts = s.plans.get(event.plan)?.facts.stages[event.stage]?.parts[event.t_id];
  if (facts === undefined) return;
  const claim = { queueMs: event.queue_ms, computeMs: event.compute_ms };
  const { computeMs } = believe(claim, s.now - asked.sent_at, node.answered_at - asked.sent_at, 1 / asked.parts);
  node.answered_at = s.now;
  const key = stageKey(event.plan, event.stage);
  observeWork(node.statistics, key, Math.max(1, facts.cost), computeMs, s.options.gamma);
}

/** A part is done: the first answer to one of its requests is used. */
export function onPartResult(s: State, event: PartResult): void {
  const node = s.nodes.get(event.node);
  const found = node === undefined ? 'stray' : findRequest(s, event);
  if (node !== undefined) onHeard(s, node);
  const second = auditOf(s, event);
  if (second !== undefined) {
    onSecond(s, second, event);
    return;
  }
  if (typeof found === 'string') {
    countUnused(s, found, node, event);
    discard(s, event, found);
    return;
  }
  const { frame, request } = found;
  const { part } = request;
  // The node has lost what it kept, and the part was placed again.
  const isGone = request.state === 'dropped' && isLost(request);
  answer(s, request, event);
  noteEnoughMemory(request.node.memory, s.now);
  frame.bytes_down += request.bytes;
  frame.bytes_between += sentOn(request, event);
  request.node.counts.bytes_down += request.bytes;
  const isOpen = part.state === 'requested' || part.state === 'unplaced';
  if (frame.phase !== 'running' || !isOpen || isGone || request.node.audit.out) {
    // What another node kept as well may be of use later.
    if (frame.phase === 'running' && part.state === 'done' && isAsAsked(request, event) && isPresent(request.node))
      keep(request);
    s.discarded.late++;
    discard(s, event, 'late');
    return;
  }
  if (part.state === 'unplaced') request.dispatch.stage.unplaced--;
  part.used = request;
  if (!isAsAsked(request, event)) {
    discard(s, event, 'stray');
    refuse(s, frame, part, NOT_AS_ASKED);
    return;
  }
  cancel(s, part.requests.filter(isLive));
  const tensors = request.way?.home ?? part.facts.out.map(({ tensor }) => tensor);
  const { handle, stage, t_id } = event;
  if (tensors.length === 0 || handle === undefined) {
    discard(s, event, 'stray');
    finishPart(s, frame, part);
    return;
  }
  part.state = 'moving';
  // An audit compares whole results, and repeats the work with inputs that central has.
  const audited = request.way === null ? audit(s, frame, request.dispatch.stage, part, request.node) : undefined;
  const move = { type: 'move-regions', i_id: frame.i_id, stage, t_id, tensors, handle } as const;
  s.effects.push(audited === undefined ? move : { ...move, audit: audited });
}

/** Encoded bytes that the node of a request sent on to other nodes. */
function sentOn({ way, node, part }: Request, { regions }: PartResult): number {
  let bytes = 0;
  way?.out.forEach(({ tensor, to }, k) => {
    const said = regions[k];
    const others = to.filter((one) => one !== CENTRAL && one !== node.id).length;
    if (said?.tensor === tensor) bytes += others * believable(said.bytes, part);
  });
  return bytes;
}

const NOT_AS_ASKED = 'its outputs were not what was asked for';

function discard(s: State, { handle }: PartResult, why: DiscardReason): void {
  if (handle !== undefined) s.effects.push({ type: 'discard', handle, why });
}

/** Whether a node has lost what it kept of a request's part since it was asked. */
function isLost({ way, node, departures }: Request): boolean {
  return way !== null && way.kept.length > 0 && departures !== node.departures;
}

/** Whether a node kept what it was asked to keep, and sent something where that was asked. */
function isAsAsked(request: Request, { regions, handle }: PartResult): boolean {
  const { way, node } = request;
  if (isLost(request)) return false;
  // What comes along is not told a second time.
  const isKept = (way?.kept ?? []).every((tensor) =>
    regions.some((region) => region.tensor === tensor && (region.at === node.id || way!.home.includes(tensor))),
  );
  return isKept && (handle !== undefined || way?.home.length === 0);
}

/** Remembers what the node of a request has, and has sent. */
function keep(request: Request): void {
  if (isLost(request)) return;
  const { way, part, node, dispatch } = request;
  for (const tensor of way?.kept ?? []) {
    const holders = part.at.get(tensor) ?? new Map<string, number>();
    part.at.set(tensor, holders.set(node.id, dispatch.attempt));
  }
  for (const name of way?.deliveries ?? []) part.sent.set(name, { from: node.id, isSent: true });
}

/** Central has these outputs of a part. */
function keepAtCentral(s: State, part: PartRun, tensors: readonly string[]): void {
  for (const tensor of tensors) {
    const holders = part.at.get(tensor) ?? new Map<string, number>();
    part.at.set(tensor, holders.set(s.central.id, 0));
  }
}

/** A part is done: its regions are where they were asked to be. */
function finishPart(s: State, frame: Frame, part: PartRun): void {
  const request = part.used!;
  part.state = 'done';
  keep(request);
  keepAtCentral(s, part, request.way?.home ?? part.facts.out.map(({ tensor }) => tensor));
  request.node.counts.tiles++;
  if (request.hedged) request.node.counts.hedges_won++;
  partDone(s, frame, request.dispatch.stage);
}

/** The result that was to be used of a part cannot be. */
function refuse(s: State, frame: Frame, part: PartRun, why: string): void {
  const request = part.used!;
  const { stage } = request.dispatch;
  part.used = null;
  part.state = 'requested';
  request.state = 'failed';
  fail(s, request, why);
  // T_L may have passed meanwhile.
  if (stage.fills && stage.due_at <= s.now) fill(s, frame, stage);
}

function fail(s: State, request: Request, text: string): void {
  const { part, node } = request;
  node.counts.errors++;
  if (!request.probe) {
    part.tries++;
    part.failed_on.add(node.id);
    part.last_error = `${node.id}: ${text}`;
  }
  failed(s, request);
}

/** A node could not do a part, which is placed elsewhere at once. */
export function onPartError(s: State, event: PartError): void {
  const node = s.nodes.get(event.node);
  const found = node === undefined ? 'stray' : findRequest(s, event);
  if (node !== undefined) onHeard(s, node);
  if (typeof found === 'string') {
    const second = auditOf(s, event);
    if (second !== undefined) second.request.state = 'failed';
    countUnused(s, found, node, event);
    return;
  }
  const { request } = found;
  if (event.code === 'missing-input') found.frame.copies.delete(event.node);
  if (event.code === 'out-of-memory') {
    const { part, dispatch } = request;
    const held = { heldBytes: request.node.assigned_bytes, partBytes: loadOf(part).bytes };
    noteOutOfMemory(request.node.memory, { ...held, assignedAt: dispatch.assigned_at }, s.now);
  }
  // A request that was cancelled or given up has counted already; the node says that it did not begin.
  if (request.state === 'dropped') failed(s, request);
  else if (event.code === 'missing-input') missInput(s, found.frame, request, event);
  else fail(s, request, `${event.code}: ${event.text}`);
  if (event.code === 'unknown-plan') {
    // The node lost the plan (evicted, or an unnoticed restart): it gets more work once it has prepared the plan again.
    request.node.readiness.delete(event.plan);
    for (const held of request.node.queue.filter(({ dispatch }) => dispatch.frame.run.plan.id === event.plan))
      end(s, held, 'dropped');
    forgetNode(s, request.node, event.plan);
    s.plans_unsettled = true;
  }
}

/** A node lacks inputs of a part: what it should have, or what others should have sent. The next request says so anew. */
function missInput(s: State, frame: Frame, request: Request, { missing, text }: PartError): void {
  const { part, node, way } = request;
  part.facts.links.forEach((link, k) => {
    if (way === null || (missing !== undefined && !missing.includes(link.tensor))) return;
    const maker = makerOf(frame, link);
    if (way.in[k] === 'held') lose(s, frame, maker, node.id, link.tensor);
    maker.sent.delete(deliveryName(node, part, link.tensor));
  });
  node.counts.errors++;
  part.tries++;
  part.last_error = `${node.id}: missing-input: ${text}`;
  // A node that lacks what came with its work cannot do the part.
  if (way === null) part.failed_on.add(node.id);
  failed(s, request);
}

/** The regions of a part are at central, or were not what was requested. */
export function onRegionsMoved(s: State, frame: Frame, event: RegionsMoved): void {
  const stage = frame.stages[event.stage];
  const part = stage?.parts[event.t_id];
  if (stage === undefined || part === undefined || frame.phase !== 'running') return;
  if (part.state !== 'moving') {
    if (part.fetch?.isMoving === true) onFetched(s, frame, part, part.fetch, event.ok);
    return;
  }
  if (event.ok && !part.used!.node.audit.out) {
    const { exit } = stage.stage;
    // A part that was made again for another output comes with its exit once more, if it was asked for both before.
    const isFirst = exit !== undefined && !isAtCentral(s, part, exit.tensor);
    part.used!.pasted_at = s.now;
    finishPart(s, frame, part);
    if (event.exit === true && isFirst) takeExit(s, frame, stage);
    return;
  }
  if (!event.ok) onFirstFailed(s, part);
  refuse(s, frame, part, event.ok ? 'it answered wrongly elsewhere' : NOT_AS_ASKED);
}

/** Regions that a node sent to central were pasted, or were not what was requested. */
function onFetched(s: State, frame: Frame, part: PartRun, fetch: Fetch, ok: boolean): void {
  endFetch(s, frame, part);
  if (ok && s.nodes.get(fetch.from)?.audit.out === false) keepAtCentral(s, part, fetch.tensors);
  else lose(s, frame, part, fetch.from);
}
