import { CENTRAL } from '../../shared/plan/plan.ts';
import { type Place, tileMs } from '../scheduler/allocate.ts';
import { type Belief, believe } from '../scheduler/belief.ts';
import { hedgeDelay } from '../scheduler/hedge.ts';
import {
  estimateSpeeds,
  linkOf,
  observeAtMost,
  observeLink,
  observeResponse,
  observeWork,
  slowResponse,
  stageKey,
} from '../scheduler/statistics.ts';
import type { Ask, Batch, Frame, Node, StageRun, State, TileRun } from './state.ts';

/** The life of a request: assigned, sent within the node's credit, answered, failed or dropped; and what it teaches. */

/** Cost per second that is assumed where nobody has shown any speed yet; only its order of magnitude matters. */
const NOMINAL_SPEED = 1e9;
/** Tiles that one `work` message may name (protocol/messages/work.ts). */
const MAX_TILES = 4096;

/** A node as the allocation sees it. */
export interface Choice extends Place {
  readonly node: Node;
  /** Whether its speed was measured, here or elsewhere. */
  readonly known: boolean;
}

/** What a tile weighs in an allocation. */
export function loadOf({ facts }: TileRun): { cost: number; bytes: number } {
  return { cost: Math.max(1, facts.cost), bytes: facts.bytes_in + facts.bytes_out };
}

function keyOf(frame: Frame, stage: StageRun): string {
  return stageKey(frame.run.plan.id, stage.stage.id);
}

/** The nodes with speed, load and room for a stage of a frame. */
export function choicesFor(nodes: readonly Node[], frame: Frame, stage: StageRun): Choice[] {
  const speeds = estimateSpeeds(
    nodes.map((node) => node.statistics),
    keyOf(frame, stage),
  );
  return nodes.map((node, k) => ({
    node,
    known: speeds[k] !== undefined,
    speed: speeds[k] ?? NOMINAL_SPEED,
    ...linkOf(node.statistics),
    busyMs: node.busy_ms,
    roomBytes: node.memory_bytes - node.held_bytes,
  }));
}

/** Whether an answer to it is still expected and its tile rests on it. */
export function isLive(ask: Ask): boolean {
  return !ask.probe && (ask.state === 'queued' || ask.state === 'sent');
}

/** The name of a batch within its frame. */
export function batchName(node: string, stage: number, attempt: number): string {
  return `${node} ${stage} ${attempt}`;
}

/** Gives tiles of one stage to a node, in one batch; `flush` sends them as credit allows. */
export function assign(
  s: State,
  frame: Frame,
  stage: StageRun,
  choice: Choice,
  tiles: readonly TileRun[],
  how: { readonly attempt: number; readonly hedged?: boolean; readonly probe?: boolean; readonly audit?: string },
): void {
  const { node } = choice;
  const { hedged = false, probe = false } = how;
  const each = tiles.map((tile, k) => (k === 0 ? choice.messageMs : 0) + tileMs(loadOf(tile), choice));
  const predicted = choice.known ? each.reduce((sum, ms) => sum + ms, node.busy_ms) : null;
  const slow = slowResponse(node.statistics, keyOf(frame, stage));
  const batch: Batch = {
    id: s.batches++,
    node,
    frame,
    stage,
    attempt: how.attempt,
    audit: how.audit,
    asks: [],
    assigned_at: s.now,
    predicted_ms: predicted,
    hedge_ms: predicted === null ? s.options.unknown_ms : hedgeDelay(predicted, slow, s.options.hedge_floor_ms),
    open: tiles.length,
    messages: 0,
    queue_ms: 0,
    late: false,
    silence_noted: false,
    busy_until: null,
    answered_at: 0,
    cost_done: 0,
    compute_ms: 0,
  };
  tiles.forEach((tile, k) => {
    const ask: Ask = {
      node,
      tile,
      batch,
      hedged,
      probe,
      predicted_ms: each[k]!,
      state: 'queued',
      sent_at: null,
      received_at: null,
      compute_ms: null,
      bytes: 0,
    };
    batch.asks.push(ask);
    tile.asks.push(ask);
    frame.asks.push(ask);
    node.queue.push(ask);
    const { bytes } = loadOf(tile);
    node.held_bytes += bytes;
    node.busy_ms += each[k]!;
    if (probe) return;
    if (hedged) {
      tile.hedged = true;
      s.extra.hedged++;
    } else if (tile.tries > 0) s.extra.resent++;
    if (tile.state === 'unplaced') {
      tile.state = 'asked';
      stage.unplaced--;
    }
  });
  frame.batches.set(batchName(node.id, stage.stage.id, how.attempt), batch);
  node.worked_at = s.now;
  if (!probe) s.timers.set(`hedge ${batch.id}`, s.now + batch.hedge_ms, { kind: 'hedge', batch });
  if (!probe) countBatch(s, node);
  // Nothing between here and central's own executor can be lost, and nobody could take its place.
  if (node.id === CENTRAL) return;
  const giveUp = Math.max(s.options.answer_floor_ms, 4 * batch.hedge_ms);
  s.timers.set(`give-up ${batch.id}`, s.now + giveUp, { kind: 'give-up', batch });
}

/** After this long what was counted of a node's pace counts half, ms. */
const PACE_MS = 30_000;
/** A node of whose batches so many were late, and this share of all, is said to be slow; once in so many ms. */
const SLOW = { batches: 5, share: 0.4, againMs: 60_000 } as const;

function countBatch(s: State, { pace }: Node): void {
  if (s.now - pace.halved_at > PACE_MS) {
    pace.halved_at = s.now;
    pace.batches /= 2;
    pace.late /= 2;
  }
  pace.batches++;
}

/** Others are asked for what a node should have done by now. */
export function noteLate(s: State, batch: Batch): void {
  const { node } = batch;
  if (batch.late || node.id === CENTRAL) return;
  batch.late = true;
  const { pace } = node;
  pace.late++;
  if (pace.late < SLOW.batches || pace.late < SLOW.share * pace.batches || s.now - pace.said_at < SLOW.againMs) return;
  pace.said_at = s.now;
  const share = Math.round((100 * pace.late) / Math.max(pace.batches, pace.late));
  const text = `is slow: ${share} % of what it was asked lately came late`;
  s.effects.push({ type: 'node-event', node: node.id, event: 'slow', text });
}

/** How many asks of the head batch of the queue go out now, where nodes owe `owed` bytes of results in all. */
function sendable(s: State, node: Node, owed: number): number {
  const { window_bytes, owed_bytes } = s.options;
  const head = node.queue[0]!;
  const free = window_bytes - node.open_bytes;
  const freeToOwe = Math.min(window_bytes - node.owed_bytes, owed_bytes - owed);
  let bytes = 0;
  let results = 0;
  let fitting = 0;
  let count = 0;
  for (const ask of node.queue) {
    if (ask.batch !== head.batch || count === MAX_TILES) break;
    bytes += ask.tile.facts.bytes_in;
    results += ask.tile.facts.bytes_out;
    count++;
    if (bytes <= free && results <= freeToOwe) fitting = count;
  }
  if (node.id === CENTRAL || fitting === count) return count;
  // What an idle node is given is bounded by the window, but it is never nothing, unless all together owe too much.
  if (node.open.size === 0)
    return owed === 0 || owed + head.tile.facts.bytes_out <= owed_bytes ? Math.max(1, fitting) : 0;
  // Messages are what small machines pay for: a batch is split only where a good part of the window is free.
  return 2 * Math.min(free, freeToOwe) >= window_bytes ? fitting : 0;
}

/** Sends what credit allows: batches in the order in which they were made, so that none waits for ever. */
export function flush(s: State): void {
  const waiting = [...s.nodes.values()].filter(({ queue, presence }) => queue.length > 0 && presence === 'online');
  waiting.sort((a, b) => a.queue[0]!.batch.id - b.queue[0]!.batch.id);
  let owed = 0;
  for (const node of s.nodes.values()) if (node.id !== CENTRAL) owed += node.owed_bytes;
  let blocked = false;
  for (const node of waiting) {
    if (blocked && node.id !== CENTRAL) continue;
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
    const asks = node.queue.splice(0, count);
    const { batch } = asks[0]!;
    const { frame, stage, attempt } = batch;
    batch.messages++;
    for (const ask of asks) {
      ask.state = 'sent';
      ask.sent_at = s.now;
      node.open.add(ask);
      node.open_bytes += ask.tile.facts.bytes_in;
      node.owed_bytes += ask.tile.facts.bytes_out;
      if (node.id !== CENTRAL) owed += ask.tile.facts.bytes_out;
    }
    s.effects.push({
      type: 'work',
      node: node.id,
      plan: frame.run.plan.id,
      i_id: frame.i_id,
      stage: stage.stage.id,
      attempt,
      t_ids: asks.map((ask) => ask.tile.facts.t_id),
      budget_ms: Math.max(1, Math.min(frame.hard_at, stage.due_at) - s.now),
      ...(batch.audit === undefined ? {} : { audit: batch.audit }),
    });
  }
  return owed;
}

/** Frees what a queued or sent request holds, and takes stock when it was the last of its batch. */
function leave(s: State, ask: Ask, state: 'answered' | 'failed' | 'dropped'): void {
  const { node, batch, tile } = ask;
  if (ask.state === 'queued') node.queue.splice(node.queue.indexOf(ask), 1);
  else {
    node.open.delete(ask);
    node.open_bytes -= tile.facts.bytes_in;
    node.owed_bytes -= tile.facts.bytes_out;
  }
  ask.state = state;
  node.held_bytes -= loadOf(tile).bytes;
  node.busy_ms -= ask.predicted_ms;
  // Sums of floats drift; an empty node has nothing to do, exactly.
  if (node.queue.length === 0 && node.open.size === 0) node.busy_ms = 0;
  if (--batch.open === 0) close(s, batch);
}

/** What a finished batch teaches of its node. */
function close(s: State, batch: Batch): void {
  s.timers.clear(`hedge ${batch.id}`);
  s.timers.clear(`give-up ${batch.id}`);
  const { node } = batch;
  const { gamma } = s.options;
  const key = keyOf(batch.frame, batch.stage);
  const bytes = batch.asks.reduce((sum, ask) => sum + loadOf(ask.tile).bytes, 0);
  const { computeMs, transferMs } = accountOf(batch);
  if (batch.cost_done > 0) observeWork(node.statistics, key, batch.cost_done, computeMs, gamma);
  if (batch.asks.some((ask) => ask.state !== 'answered')) return;
  observeResponse(node.statistics, key, s.now - batch.assigned_at);
  if (batch.messages === 1 && node.id !== CENTRAL) observeLink(node.statistics, bytes, transferMs, gamma);
}

/** How long a batch took its node, as far as that is believed; central's own executor does not lie. */
function accountOf(batch: Batch): Belief {
  const { queue_ms: queueMs, compute_ms: computeMs, answered_at, busy_until } = batch;
  if (batch.node.id === CENTRAL) return { computeMs, transferMs: 0 };
  const sentAt = batch.asks.find((ask) => ask.sent_at !== null)?.sent_at ?? answered_at;
  return believe({ queueMs, computeMs }, answered_at - sentAt, (busy_until ?? sentAt) - sentAt);
}

/** Takes note of when a node answered: until its first answer to a batch it was busy with what it was asked before. */
function noteAnswer(s: State, { batch, node }: Ask): void {
  batch.busy_until ??= node.answered_at;
  batch.answered_at = s.now;
  node.answered_at = s.now;
}

/** Takes note of an answer; one that comes after it was given up or cancelled still teaches the node's speed. */
export function answer(s: State, ask: Ask, facts: { compute_ms: number; queue_ms: number; bytes: number }): void {
  const { batch, node, tile } = ask;
  const { cost } = loadOf(tile);
  noteAnswer(s, ask);
  ask.received_at = s.now;
  ask.compute_ms = facts.compute_ms;
  ask.bytes = facts.bytes;
  batch.queue_ms = Math.max(batch.queue_ms, facts.queue_ms);
  if (ask.state === 'sent') {
    batch.cost_done += cost;
    batch.compute_ms += facts.compute_ms;
    leave(s, ask, 'answered');
    return;
  }
  ask.state = 'answered';
  const claim = { queueMs: facts.queue_ms, computeMs: facts.compute_ms };
  const sentAt = ask.sent_at ?? s.now;
  const { computeMs } = believe(claim, s.now - sentAt, batch.busy_until! - sentAt, 1 / batch.asks.length);
  observeWork(node.statistics, keyOf(batch.frame, batch.stage), cost, computeMs, s.options.gamma);
}

/** A request that its node could not do. */
export function failed(s: State, ask: Ask): void {
  noteAnswer(s, ask);
  end(s, ask, 'failed');
}

/** Ends a request that brought nothing; its tile is unplaced again where nobody else is asked. */
export function end(s: State, ask: Ask, state: 'failed' | 'dropped'): void {
  const { tile, batch } = ask;
  if (ask.state === 'queued' || ask.state === 'sent') leave(s, ask, state);
  else if (state === 'failed') ask.state = 'failed';
  if (tile.state !== 'asked' || tile.asks.some(isLive)) return;
  tile.state = 'unplaced';
  batch.stage.unplaced++;
}

/** A node that should have answered by now cannot be as fast as it was thought to be. */
export function observeSilence(s: State, batch: Batch): void {
  const elapsed = s.now - batch.assigned_at;
  if (elapsed <= 0 || batch.cost_done > 0 || batch.messages === 0 || batch.silence_noted) return;
  batch.silence_noted = true;
  const key = keyOf(batch.frame, batch.stage);
  const { statistics } = batch.node;
  const speed = statistics.stages.get(key)?.speed;
  const cost = batch.asks.reduce((sum, ask) => sum + loadOf(ask.tile).cost, 0);
  if (speed === undefined || batch.predicted_ms === null)
    observeAtMost(statistics, key, (1000 * cost) / elapsed, s.options.gamma);
  else if (elapsed > batch.predicted_ms)
    observeAtMost(statistics, key, (speed * batch.predicted_ms) / elapsed, s.options.gamma);
}

/** Tells nodes that they need not do these requests, one `cancel` per node and stage, and drops them. */
export function cancel(s: State, asks: readonly Ask[]): void {
  const told = new Map<string, { node: Node; batch: Batch; t_ids: number[] }>();
  for (const ask of asks) {
    const { node, batch, tile } = ask;
    if (ask.state === 'sent' && !ask.probe && node.presence !== 'offline') {
      const key = `${node.id} ${batch.frame.i_id} ${batch.stage.stage.id}`;
      const entry = told.get(key) ?? { node, batch, t_ids: [] };
      entry.t_ids.push(tile.facts.t_id);
      told.set(key, entry);
    }
    if (ask.state === 'sent') observeSilence(s, batch);
    end(s, ask, 'dropped');
  }
  for (const { node, batch, t_ids } of told.values()) {
    const { run, i_id } = batch.frame;
    s.effects.push({ type: 'cancel', node: node.id, plan: run.plan.id, i_id, stage: batch.stage.stage.id, t_ids });
  }
}
