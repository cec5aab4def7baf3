import { MAX_PARTS } from '../../shared/plan/limits.ts';
import type { Node, State } from './state.ts';

/** Credit: how much work a node is sent at a time, and how many bytes of results all nodes together may owe central. */

/** How many requests of the head dispatch of the queue go out now, where nodes owe `owed` bytes of results in all. */
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
  // What an idle node is given is bounded by the window, but it is never nothing, unless all together owe too much.
  if (node.open.size === 0)
    return owed === 0 || owed + head.part.facts.bytes_out <= owed_bytes ? Math.max(1, fitting) : 0;
  // Messages are what small machines pay for: a dispatch is split only where a good part of the window is free.
  return 2 * Math.min(free, freeToOwe) >= window_bytes ? fitting : 0;
}

/** Sends what credit allows: dispatches in the order in which they were made, so that none waits for ever. */
export function flush(s: State): void {
  const waiting = [...s.nodes.values()].filter(({ queue, presence }) => queue.length > 0 && presence === 'online');
  waiting.sort((a, b) => a.queue[0]!.dispatch.id - b.queue[0]!.dispatch.id);
  let owed = 0;
  for (const node of s.nodes.values()) if (!node.isLocal) owed += node.owed_bytes;
  let blocked = false;
  for (const node of waiting) {
    if (blocked && !node.isLocal) continue;
    owed = flushNode(s, node, owed);
    // Others with smaller results would take for ever what an idle node waits for.
    blocked ||= node.queue.length > 0 && node.open.size === 0;
  }
}

/** Sends to one node; returns what all owe then. */
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
      ...(dispatch.audit === undefined ? {} : { audit: dispatch.audit }),
    });
  }
  return owed;
}
