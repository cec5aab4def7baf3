import type { PartLink } from '../../shared/plan/compiled-plan.ts';
import { MAX_PARTS } from '../../shared/plan/limits.ts';
import { hasFrame } from './birthplace.ts';
import type { PartWay, Source } from './effects.ts';
import { giveUpDelay } from './requests.ts';
import { travelling, wayOf } from './routes.ts';
import type { Dispatch, Node, State, Supply } from './state.ts';
import { orderInputs } from './transfers.ts';

/** Backpressure: a node may have so many bytes of unanswered work, and all nodes may owe so many bytes of results. */

/** How many requests of the first dispatch in a queue may be sent now; `owed`: bytes of results that all nodes owe. */
function sendable(s: State, node: Node, owed: number): number {
  const { window_bytes, owed_bytes } = s.options;
  const head = node.queue[0]!;
  const free = window_bytes - node.open_bytes;
  const freeToOwe = Math.min(window_bytes - node.owed_bytes, owed_bytes - owed);
  let bytes = 0;
  let results = 0;
  let first = 0;
  let fitting = 0;
  let count = 0;
  for (const request of node.queue) {
    if (request.dispatch !== head.dispatch || count === MAX_PARTS) break;
    const { bytes_in, bytes_home } = travelling(s, request.dispatch.frame, request.part, node);
    bytes += bytes_in;
    results += bytes_home;
    if (count === 0) first = bytes_home;
    count++;
    if (bytes <= free && results <= freeToOwe) fitting = count;
  }
  if (node.isLocal || fitting === count) return count;
  // An idle node is sent one part whatever its size, unless all nodes together owe too much.
  if (node.open.size === 0) return owed === 0 || first === 0 || owed + first <= owed_bytes ? Math.max(1, fitting) : 0;
  // Each message costs a small machine time, so a dispatch is split only where half of the window is free.
  return 2 * Math.min(free, freeToOwe) >= window_bytes ? fitting : 0;
}

/** Sends what credit allows: dispatches in the order in which they were made, so that none is starved. */
export function flush(s: State): void {
  // Most events leave nothing to send, and there may be a thousand nodes.
  const waiting: Node[] = [];
  for (const node of s.nodes.values()) if (node.queue.length > 0 && node.presence === 'online') waiting.push(node);
  if (waiting.length === 0) return;
  waiting.sort((a, b) => a.queue[0]!.dispatch.id - b.queue[0]!.dispatch.id);
  let owed = 0;
  for (const node of s.nodes.values()) if (!node.isLocal) owed += node.owed_bytes;
  let blocked = false;
  for (const node of waiting) {
    if (blocked && !node.isLocal) continue;
    owed = flushNode(s, node, owed);
    // Nodes with smaller results would starve an idle node of the credit that it waits for.
    blocked ||= node.queue.length > 0 && node.open.size === 0;
  }
}

function sourceOf({ tensor, box }: PartLink, supply: Supply): Source {
  if (supply === 'inline') return { tensor, box };
  return supply === 'held' ? { tensor, box, held: true } : { tensor, box, from: supply.from };
}

/**
 * Until when a node may wait for regions that others send: until half of the time after which its work is given up, so
 * that what was lost on the way is sent again.
 */
function patienceOf(s: State, { requests, assigned_at, hedge_ms }: Dispatch): number {
  const waits = requests.some(({ way }) => way?.in.some((supply) => typeof supply === 'object') === true);
  return waits ? assigned_at + giveUpDelay(s, hedge_ms) / 2 : Number.POSITIVE_INFINITY;
}

/** Sends to one node; returns the bytes that all nodes owe then. */
function flushNode(s: State, node: Node, owedBefore: number): number {
  let owed = owedBefore;
  while (node.queue.length > 0) {
    const count = sendable(s, node, owed);
    if (count === 0) return owed;
    const requests = node.queue.splice(0, count);
    const { dispatch } = requests[0]!;
    const { frame, stage, attempt } = dispatch;
    dispatch.messages++;
    const ways: PartWay[] = [];
    for (const request of requests) {
      const { bytes_in, bytes_home } = travelling(s, frame, request.part, node);
      Object.assign(request, { state: 'sent', sent_at: s.now, bytes_in, bytes_home });
      node.open.add(request);
      node.open_bytes += bytes_in;
      node.owed_bytes += bytes_home;
      if (!node.isLocal) owed += bytes_home;
      const way = wayOf(s, frame, request);
      request.way = way;
      if (way === null) continue;
      const { t_id, links } = request.part.facts;
      ways.push({ t_id, in: links.map((link, k) => sourceOf(link, way.in[k]!)), out: way.out });
      orderInputs(s, frame, request);
      frame.visited.add(node.id);
      for (const [receiver, coming] of way.coming) {
        receiver.coming_bytes += coming;
        frame.visited.add(receiver.id);
      }
    }
    s.effects.push({
      type: 'work',
      node: node.id,
      plan: frame.run.plan.id,
      i_id: frame.i_id,
      stage: stage.stage.id,
      attempt,
      t_ids: requests.map((request) => request.part.facts.t_id),
      ...(ways.length === 0 ? {} : { ways }),
      budget_ms: Math.max(1, Math.min(frame.hard_at, stage.due_at, patienceOf(s, dispatch)) - s.now),
      // An audit compares results of inputs that central has.
      ...(hasFrame(frame, node) && dispatch.audit === undefined ? { hasFrame: true as const } : {}),
      ...(dispatch.audit === undefined ? {} : { audit: dispatch.audit }),
    });
  }
  return owed;
}
