import { partMs } from '../scheduler/allocate.ts';
import { type Belief, believe } from '../scheduler/belief.ts';
import { hedgeDelay } from '../scheduler/hedge.ts';
import { observeAtMost, observeLink, observeResponse, observeWork, slowResponse } from '../scheduler/statistics.ts';
import { type Candidate, keyOf, loadOf } from './candidates.ts';
import type { PartResult } from './events.ts';
import { travelling } from './routes.ts';
import type { Dispatch, Frame, Node, PartRun, Request, StageRun, State } from './state.ts';

/**
 * The life of a request: it is assigned, sent within the node's credit (credit.ts), then answered, failed or dropped.
 * Its times update the statistics of the node.
 */

/** Whether the request may still bring the result of its part; copies (probes, audits) do not count. */
export function isLive(request: Request): boolean {
  return !request.probe && (request.state === 'queued' || request.state === 'sent');
}

/** Key of a dispatch within its frame. */
export function dispatchName(node: string, stage: number, attempt: number): string {
  return `${node} ${stage} ${attempt}`;
}

/** Assigns parts of one stage to a node, as one dispatch; `flush` sends it as credit allows. */
export function assign(
  s: State,
  frame: Frame,
  stage: StageRun,
  candidate: Candidate,
  parts: readonly PartRun[],
  how: { readonly attempt: number; readonly hedged?: boolean; readonly probe?: boolean; readonly audit?: string },
): void {
  const { node } = candidate;
  const { hedged = false, probe = false } = how;
  const travel = parts.map((part) => travelling(s, frame, part, node));
  const each = travel.map(
    ({ cost, bytes_in, bytes_home }, k) =>
      (k === 0 ? candidate.messageMs : 0) + partMs({ cost, bytes: bytes_in + bytes_home }, candidate),
  );
  const predicted = candidate.known ? each.reduce((sum, ms) => sum + ms, node.busy_ms) : null;
  const slow = slowResponse(node.statistics, keyOf(frame, stage));
  const dispatch: Dispatch = {
    id: s.dispatches++,
    node,
    frame,
    stage,
    attempt: how.attempt,
    audit: how.audit,
    requests: [],
    assigned_at: s.now,
    predicted_ms: predicted,
    hedge_ms: predicted === null ? s.options.unknown_ms : hedgeDelay(predicted, slow, s.options.hedge_floor_ms),
    open: parts.length,
    messages: 0,
    queue_ms: 0,
    late: false,
    silence_noted: false,
    busy_until: null,
    answered_at: 0,
    cost_done: 0,
    compute_ms: 0,
  };
  parts.forEach((part, k) => {
    const request: Request = {
      node,
      part,
      dispatch,
      hedged,
      probe,
      predicted_ms: each[k]!,
      departures: node.departures,
      way: null,
      bytes_in: travel[k]!.bytes_in,
      bytes_home: travel[k]!.bytes_home,
      state: 'queued',
      sent_at: null,
      received_at: null,
      pasted_at: null,
      compute_ms: null,
      bytes: 0,
    };
    dispatch.requests.push(request);
    part.requests.push(request);
    frame.requests.push(request);
    node.queue.push(request);
    const { bytes } = loadOf(part);
    node.assigned_bytes += bytes;
    node.busy_ms += each[k]!;
    if (probe) return;
    if (hedged) {
      part.hedged = true;
      s.extra.hedged++;
    } else if (part.tries > 0) s.extra.resent++;
    if (part.state === 'unplaced') {
      part.state = 'requested';
      stage.unplaced--;
    }
  });
  frame.dispatches.set(dispatchName(node.id, stage.stage.id, how.attempt), dispatch);
  node.worked_at = s.now;
  if (!probe) s.timers.set(`hedge ${dispatch.id}`, s.now + dispatch.hedge_ms, { kind: 'hedge', dispatch });
  if (!probe) countDispatch(s, node);
  // No message to the local node can be lost, and no other node could replace it.
  if (node.isLocal) return;
  const giveUp = s.now + giveUpDelay(s, dispatch.hedge_ms);
  s.timers.set(`give-up ${dispatch.id}`, giveUp, { kind: 'give-up', dispatch });
}

/** How long after it was assigned work without an answer is given up, ms. */
export function giveUpDelay(s: State, hedgeMs: number): number {
  return Math.max(s.options.answer_floor_ms, 4 * hedgeMs);
}

/** Half-life of the counts of late dispatches, ms. */
const PACE_MS = 30_000;
/** A node is reported as slow when so many of its dispatches, and this share, were late; at most once in `againMs`. */
const SLOW = { dispatches: 5, share: 0.4, againMs: 60_000 } as const;

function countDispatch(s: State, { pace }: Node): void {
  if (s.now - pace.halved_at > PACE_MS) {
    pace.halved_at = s.now;
    pace.dispatches /= 2;
    pace.late /= 2;
  }
  pace.dispatches++;
}

/** A dispatch is hedged: it counts as late, and a node that is late often is reported as slow. */
export function noteLate(s: State, dispatch: Dispatch): void {
  const { node } = dispatch;
  if (dispatch.late || node.isLocal) return;
  dispatch.late = true;
  const { pace } = node;
  pace.late++;
  if (pace.late < SLOW.dispatches || pace.late < SLOW.share * pace.dispatches || s.now - pace.said_at < SLOW.againMs)
    return;
  pace.said_at = s.now;
  const share = Math.round((100 * pace.late) / Math.max(pace.dispatches, pace.late));
  const text = `is slow: ${share} % of its recent answers came late`;
  s.effects.push({ type: 'node-event', node: node.id, event: 'slow', text });
}

/** Frees the credit and memory of a queued or sent request, and closes its dispatch with the last one. */
function leave(s: State, request: Request, state: 'answered' | 'failed' | 'dropped'): void {
  const { node, dispatch, part } = request;
  if (request.state === 'queued') node.queue.splice(node.queue.indexOf(request), 1);
  else {
    node.open.delete(request);
    node.open_bytes -= request.bytes_in;
    node.owed_bytes -= request.bytes_home;
    for (const [receiver, coming] of request.way?.coming ?? []) receiver.coming_bytes -= coming;
  }
  request.state = state;
  node.assigned_bytes -= loadOf(part).bytes;
  node.busy_ms -= request.predicted_ms;
  // Sums of floats drift; an idle node has exactly nothing to do.
  if (node.queue.length === 0 && node.open.size === 0) node.busy_ms = 0;
  if (--dispatch.open === 0) close(s, dispatch);
}

/** No request of the dispatch is open any more: its times update the statistics of its node. */
function close(s: State, dispatch: Dispatch): void {
  s.timers.clear(`hedge ${dispatch.id}`);
  s.timers.clear(`give-up ${dispatch.id}`);
  const { node } = dispatch;
  const { gamma } = s.options;
  const key = keyOf(dispatch.frame, dispatch.stage);
  const bytes = dispatch.requests.reduce((sum, { bytes_in, bytes_home }) => sum + bytes_in + bytes_home, 0);
  const { computeMs, transferMs } = accountOf(dispatch);
  if (dispatch.cost_done > 0) observeWork(node.statistics, key, dispatch.cost_done, computeMs, gamma);
  if (dispatch.requests.some((request) => request.state !== 'answered')) return;
  observeResponse(node.statistics, key, s.now - dispatch.assigned_at);
  if (dispatch.messages === 1 && !node.isLocal) observeLink(node.statistics, bytes, transferMs, gamma);
}

/** The times of a dispatch, as far as the node's account is believed (belief.ts); the local node is trusted. */
function accountOf(dispatch: Dispatch): Belief {
  const { queue_ms: queueMs, compute_ms: computeMs, answered_at, busy_until } = dispatch;
  if (dispatch.node.isLocal) return { computeMs, transferMs: 0 };
  const sentAt = dispatch.requests.find((request) => request.sent_at !== null)?.sent_at ?? answered_at;
  return believe({ queueMs, computeMs }, answered_at - sentAt, (busy_until ?? sentAt) - sentAt);
}

/** Records when a node answered. Until its first answer to a dispatch the node was busy with earlier ones. */
function noteAnswer(s: State, { dispatch, node }: Request): void {
  dispatch.busy_until ??= node.answered_at;
  dispatch.answered_at = s.now;
  node.answered_at = s.now;
}

/** Records an answer. One to a request that was given up or cancelled still updates the node's speed. */
export function answer(
  s: State,
  request: Request,
  facts: Pick<PartResult, 'compute_ms' | 'queue_ms' | 'regions'>,
): void {
  const { dispatch, node, part } = request;
  const { cost } = loadOf(part);
  noteAnswer(s, request);
  request.received_at = s.now;
  request.compute_ms = facts.compute_ms;
  // Regions of the local node do not travel, nor do those that stay at their node.
  request.bytes = facts.regions.reduce((sum, { at, bytes }) => (node.isLocal || at === node.id ? sum : sum + bytes), 0);
  dispatch.queue_ms = Math.max(dispatch.queue_ms, facts.queue_ms);
  if (request.state === 'sent') {
    dispatch.cost_done += cost;
    dispatch.compute_ms += facts.compute_ms;
    leave(s, request, 'answered');
    return;
  }
  request.state = 'answered';
  const claim = { queueMs: facts.queue_ms, computeMs: facts.compute_ms };
  const sentAt = request.sent_at ?? s.now;
  const { computeMs } = believe(claim, s.now - sentAt, dispatch.busy_until! - sentAt, 1 / dispatch.requests.length);
  observeWork(node.statistics, keyOf(dispatch.frame, dispatch.stage), cost, computeMs, s.options.gamma);
}

/** The node of a request could not do the part. */
export function failed(s: State, request: Request): void {
  noteAnswer(s, request);
  end(s, request, 'failed');
}

/** Ends a request without a result; its part is unplaced again where no other request for it is live. */
export function end(s: State, request: Request, state: 'failed' | 'dropped'): void {
  const { part, dispatch } = request;
  if (request.state === 'queued' || request.state === 'sent') leave(s, request, state);
  else if (state === 'failed') request.state = 'failed';
  if (part.state !== 'requested' || part.requests.some(isLive)) return;
  part.state = 'unplaced';
  dispatch.stage.unplaced++;
}

/** A node that has not answered by now is slower than predicted: lowers its speed, once per dispatch. */
export function observeSilence(s: State, dispatch: Dispatch): void {
  const elapsed = s.now - dispatch.assigned_at;
  if (elapsed <= 0 || dispatch.cost_done > 0 || dispatch.messages === 0 || dispatch.silence_noted) return;
  dispatch.silence_noted = true;
  const key = keyOf(dispatch.frame, dispatch.stage);
  const { statistics } = dispatch.node;
  const speed = statistics.stages.get(key)?.speed;
  const cost = dispatch.requests.reduce((sum, request) => sum + loadOf(request.part).cost, 0);
  if (speed === undefined || dispatch.predicted_ms === null)
    observeAtMost(statistics, key, (1000 * cost) / elapsed, s.options.gamma);
  else if (elapsed > dispatch.predicted_ms)
    observeAtMost(statistics, key, (speed * dispatch.predicted_ms) / elapsed, s.options.gamma);
}

/** Drops requests and tells their nodes, with one `cancel` per node and stage. */
export function cancel(s: State, requests: readonly Request[]): void {
  const told = new Map<string, { node: Node; dispatch: Dispatch; t_ids: number[] }>();
  for (const request of requests) {
    const { node, dispatch, part } = request;
    if (request.state === 'sent' && !request.probe && node.presence !== 'offline') {
      const key = `${node.id} ${dispatch.frame.i_id} ${dispatch.stage.stage.id}`;
      const entry = told.get(key) ?? { node, dispatch, t_ids: [] };
      entry.t_ids.push(part.facts.t_id);
      told.set(key, entry);
    }
    if (request.state === 'sent') observeSilence(s, dispatch);
    end(s, request, 'dropped');
  }
  for (const { node, dispatch, t_ids } of told.values()) {
    const { frame, stage } = dispatch;
    s.effects.push({ type: 'cancel', node: node.id, i_id: frame.i_id, stage: stage.stage.id, t_ids });
  }
}
