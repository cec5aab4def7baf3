import { newMemory } from '../scheduler/memory.ts';
import type { NodeOnline } from './events.ts';
import { distrust, forgetNode } from './losses.ts';
import { newNode } from './new-state.ts';
import { cancel, end } from './requests.ts';
import type { Node, Request, State } from './state.ts';

/** Nodes: they come online, miss heartbeats, are heard again and leave. */

/** Offline nodes whose statistics are kept. */
const OFFLINE_KEPT = 256;

/** Requests are lost: their parts go to other nodes. Each counts as a try, since the part may have killed the node. */
export function loseRequests(s: State, requests: readonly Request[], silent: boolean): void {
  for (const request of requests) if (!request.probe) request.part.tries++;
  if (silent) cancel(s, requests);
  else for (const request of requests) end(s, request, 'dropped');
}

function unanswered(node: Node): Request[] {
  return [...node.open, ...node.queue];
}

/** A node has announced itself. Another boot id means a restart: its work and its prepared plans are gone. */
export function onNodeOnline(s: State, event: NodeOnline): void {
  const node = s.nodes.get(event.node) ?? newNode(event.node, event.tier, s.now);
  if (node.isLocal) return;
  s.nodes.set(node.id, node);
  node.isDrained = s.drained.has(node.id);
  if (node.presence !== 'offline' && node.boot_id !== event.boot_id) onNodeOffline(s, node);
  if (node.presence !== 'online')
    s.effects.push({ type: 'node-event', node: node.id, event: 'online', text: 'is online' });
  // A repeated announcement does not undo what is known of the node's memory.
  const memory = newMemory(event.memory_bytes);
  if (node.boot_id !== event.boot_id || node.memory.announced !== memory.announced) node.memory = memory;
  node.boot_id = event.boot_id;
  node.tier = event.tier;
  node.holdsFrames = event.holds_frames ?? false;
  node.presence = 'online';
  node.heard_at = s.now;
  s.plans_unsettled = true;
  if (!s.timers.has('sweep')) s.timers.set('sweep', s.now + s.options.heartbeat_ms, { kind: 'sweep' });
}

/** A node has left: its parts go to other nodes at once, and it must prepare its plans again when it comes back. */
export function onNodeOffline(s: State, node: Node): void {
  if (node.isLocal || node.presence === 'offline') return;
  node.presence = 'offline';
  node.departures++;
  const shared = node.open.size > 0 || node.queue.length > 0 ? '; others do what it was asked' : '';
  s.effects.push({ type: 'node-event', node: node.id, event: 'offline', text: `is offline${shared}` });
  for (const plan of node.readiness.keys()) s.timers.clear(`prepare ${node.id} ${plan}`);
  node.readiness.clear();
  loseRequests(s, unanswered(node), false);
  forgetNode(s, node);
  s.plans_unsettled = true;
  const offline = [...s.nodes.values()].filter((other) => other.presence === 'offline');
  if (offline.length > OFFLINE_KEPT) {
    const oldest = offline.reduce((a, b) => (b.heard_at < a.heard_at ? b : a));
    s.nodes.delete(oldest.id);
  }
}

/** A node has sent a message, so it lives. */
export function onHeard(s: State, node: Node): void {
  node.heard_at = s.now;
  if (node.presence !== 'suspect') return;
  node.presence = 'online';
  s.effects.push({ type: 'node-event', node: node.id, event: 'back', text: 'is heard again' });
  s.plans_unsettled = true;
}

/** Suspects nodes that have missed three heartbeats: they get no work, and their parts go to other nodes. */
export function sweep(s: State): void {
  const { heartbeat_ms } = s.options;
  let live = false;
  for (const node of s.nodes.values()) {
    if (node.isLocal || node.presence === 'offline') continue;
    live = true;
    if (node.presence === 'suspect' || s.now - node.heard_at < 3.5 * heartbeat_ms) continue;
    node.presence = 'suspect';
    const silent = `has not been heard for ${((s.now - node.heard_at) / 1000).toFixed(1)} s and gets no work`;
    s.effects.push({ type: 'node-event', node: node.id, event: 'silent', text: silent });
    loseRequests(s, unanswered(node), true);
    distrust(s, node);
    s.plans_unsettled = true;
  }
  if (live) s.timers.set('sweep', s.now + heartbeat_ms, { kind: 'sweep' });
}
