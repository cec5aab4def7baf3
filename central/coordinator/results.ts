import { believe } from '../scheduler/belief.ts';
import { noteEnoughMemory, noteOutOfMemory } from '../scheduler/memory.ts';
import { observeWork, stageKey } from '../scheduler/statistics.ts';
import { audit, auditOf, onFirstFailed, onSecond } from './audit.ts';
import { loadOf } from './candidates.ts';
import type { DiscardReason } from './effects.ts';
import type { AnswerAddress, PartAnswer, PartError, PartResult, RegionsMoved } from './events.ts';
import { fill, partDone, takeExit } from './frames.ts';
import { onHeard } from './nodes.ts';
import { answer, cancel, dispatchName, end, failed, isLive } from './requests.ts';
import type { EndedRequests, Frame, Node, Request, State } from './state.ts';

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
    s.effects.push({ type: 'discard', handle: event.handle, why: found });
    return;
  }
  const { frame, request } = found;
  const { part } = request;
  answer(s, request, event);
  noteEnoughMemory(request.node.memory, s.now);
  frame.bytes_down += request.bytes;
  request.node.counts.bytes_down += request.bytes;
  const isOpen = part.state === 'requested' || part.state === 'unplaced';
  if (frame.phase !== 'running' || !isOpen || request.node.audit.out) {
    s.discarded.late++;
    s.effects.push({ type: 'discard', handle: event.handle, why: 'late' });
    return;
  }
  if (part.state === 'unplaced') request.dispatch.stage.unplaced--;
  part.state = 'moving';
  part.used = request;
  cancel(s, part.requests.filter(isLive));
  const { stage, t_id } = event;
  const audited = audit(s, frame, request.dispatch.stage, part, request.node);
  // Every reader of a region is at central for now.
  const moves = event.regions.map(({ tensor, at }) => ({ tensor, from: at, to: s.central.id }));
  const { handle } = event;
  const move = { type: 'move-regions', i_id: frame.i_id, stage, t_id, moves, handle } as const;
  s.effects.push(audited === undefined ? move : { ...move, audit: audited });
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
  else fail(s, request, `${event.code}: ${event.text}`);
  if (event.code === 'unknown-plan') {
    // The node lost the plan (evicted, or an unnoticed restart): it gets more work once it has prepared the plan again.
    request.node.readiness.delete(event.plan);
    for (const held of request.node.queue.filter(({ dispatch }) => dispatch.frame.run.plan.id === event.plan))
      end(s, held, 'dropped');
    s.plans_unsettled = true;
  }
}

/** The regions of a part are where they are wanted, or were not what was requested. */
export function onRegionsMoved(s: State, frame: Frame, event: RegionsMoved): void {
  const stage = frame.stages[event.stage];
  const part = stage?.parts[event.t_id];
  if (stage === undefined || part?.state !== 'moving' || frame.phase !== 'running') return;
  const request = part.used!;
  if (event.ok && !request.node.audit.out) {
    part.state = 'done';
    request.node.counts.tiles++;
    if (request.hedged) request.node.counts.hedges_won++;
    partDone(s, frame, stage);
    if (event.exit === true && stage.stage.exit !== undefined) takeExit(s, frame, stage);
    return;
  }
  if (!event.ok) onFirstFailed(s, part);
  part.used = null;
  part.state = 'requested';
  request.state = 'failed';
  fail(s, request, event.ok ? 'it answered wrongly elsewhere' : 'its outputs were not what was asked for');
  // T_L may have passed meanwhile.
  if (stage.fills && stage.due_at <= s.now) fill(s, frame, stage);
}
