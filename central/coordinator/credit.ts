import { MAX_PARTS } from '../../shared/plan/limits.ts';
import { hasFrame } from './birthplace.ts';
import type { Node, State } from './state.ts';

/** Backpressure: a node may have so many bytes of unanswered work, and all nodes may owe so many bytes of results. */

/** How many requests of the first dispatch in a queue may be sent now; `owed`: bytes of results that all nodes owe. */
function sendable(s: State, node: Node, owed: number): number {
  const { window_bytes, owed_bytes } = s.options;
  const head = node.queue[0]!;
  const free = window_bytes - node.open_bytes;
  const freeToOwe = Math.min(window_bytes - node.owed_bytes, owed_bytes - owed);
  let bytes = 0;
  let results = 0;
  let fitting = 0;
  let count = 0;
  for (const request of node.queue) {
    if (request.dispatch !== head.dispatch || count === MAX_PARTS) break;
    bytes += request.part.facts.bytes_in;
    results += request.part.facts.bytes_out;
    count++;
    if (bytes <= free && results <= freeToOwe) fitting = count;
  }
  if (node.isLocal || fitting === count) return count;
  // An idle node is sent one part whatever its size, unless all nodes together owe too much.
  if (node.open.size === 0)
    return owed === 0 || owed + head.part.facts.bytes_out <= owed_bytes ? Math.max(1, fitting) : 0;
  // Each message costs a small machine time, so a dispatch is split only where half of the window is free.
  return 2 * Math.min(free, freeToOwe) >= window_bytes ? fitting : 0;
}

/** Sends what credit allows: dispatches in the order in which they were made, so that none is starved. */
export function flush(s: State): void {
  const waiting = [...s.nodes.values()].filter(({ queue, presence }) => queue.length > 0 && presence === 'online');
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
    for (const request of requests) {
      request.state = 'sent';
      request.sent_at = s.now;
      node.open.add(request);
      node.open_bytes += request.part.facts.bytes_in;
      node.owed_bytes += request.part.facts.bytes_out;
      if (!node.isLocal) owed += request.part.facts.bytes_out;
    }
    s.effects.push({
      type: 'work',
      node: node.id,
      plan: frame.run.plan.id,
      i_id: frame.i_id,
      stage: stage.stage.id,
      attempt,
      t_ids: requests.map((request) => request.part.facts.t_id),
      budget_ms: Math.max(1, Math.min(frame.hard_at, stage.due_at) - s.now),
      // An audit compares results of inputs that central has.
      ...(hasFrame(frame, node) && dispatch.audit === undefined ? { hasFrame: true as const } : {}),
      ...(dispatch.audit === undefined ? {} : { audit: dispatch.audit }),
    });
  }
  return owed;
}
