import { believe } from '../scheduler/belief.ts';
import { observeWork, stageKey } from '../scheduler/statistics.ts';
import { answer, batchName, cancel, end, failed, isLive } from './asks.ts';
import { audit, auditOf, onFirstFailed, onSecond } from './audit.ts';
import type { Event, TileNote } from './events.ts';
import { onHeard } from './fleet.ts';
import { fill, takeExit, tileDone } from './frames.ts';
import type { Ask, EndedAsks, Frame, Node, State } from './state.ts';

/** What comes back from nodes: taken, or counted and thrown away. */

type TileResult = Extract<Event, { type: 'tile-result' }>;
type TileError = Extract<Event, { type: 'tile-error' }>;

/** The request that a message answers, or why there is none. */
function findAsk(s: State, event: TileResult | TileError): { frame: Frame; ask: Ask } | TileNote {
  if (!event.i_id.startsWith(`${s.options.epoch}-`)) return 'stale-epoch';
  const frame = s.frames.get(event.i_id);
  if (frame === undefined) return s.ended.get(event.i_id)?.has(event.node) === true ? 'late' : 'stray';
  if (frame.run.plan.id !== event.plan) return 'stray';
  const asks = frame.stages[event.stage]?.tiles[event.t_id]?.asks ?? [];
  const ask = asks.find(
    (candidate) =>
      candidate.node.id === event.node && candidate.batch.attempt === event.attempt && candidate.sent_at !== null,
  );
  if (ask === undefined) return 'stray';
  return ask.state === 'answered' || ask.state === 'failed' ? 'duplicate' : { frame, ask };
}

/** What a message with results is about, as its first values say. */
export interface Address {
  readonly node: string;
  readonly plan: string;
  readonly i_id: string;
  readonly stage: number;
  readonly attempt: number;
}

/** Whether something that a node says may answer a request; a note why not is counted. Costs little, changes nothing else. */
export function isAwaited(s: State, of: Address): boolean {
  const note = unasked(s, of);
  if (note === undefined) return true;
  s.notes[note]++;
  const node = s.nodes.get(of.node);
  if (node !== undefined) node.counts.unasked++;
  return false;
}

function unasked(s: State, { node, plan, i_id, stage, attempt }: Address): TileNote | undefined {
  if (!i_id.startsWith(`${s.options.epoch}-`)) return 'stale-epoch';
  for (const { ask, i_id: frame, phase } of s.audits.values())
    if (phase === 'asked' && frame === i_id && ask.node.id === node && ask.batch.attempt === attempt) return undefined;
  const frame = s.frames.get(i_id);
  if (frame === undefined) {
    const asked = s.ended.get(i_id)?.get(node);
    return asked === undefined ? 'stray' : asked.open > 0 ? undefined : 'late';
  }
  const batch = frame.run.plan.id === plan ? frame.batches.get(batchName(node, stage, attempt)) : undefined;
  if (batch === undefined || batch.messages === 0) return 'stray';
  return batch.asks.some(({ state }) => state !== 'answered' && state !== 'failed') ? undefined : 'duplicate';
}

/** Takes note of something that answers no request under way. */
function noteUnused(s: State, note: TileNote, node: Node | undefined, event: TileResult | TileError): void {
  s.notes[note]++;
  // Somebody slow was asked, and is no nuisance for it; each answer counts so once.
  const asked = note === 'late' && node !== undefined ? s.ended.get(event.i_id)?.get(node.id) : undefined;
  if (asked === undefined || asked.open === 0) {
    s.useless++;
    return;
  }
  if (event.type === 'tile-result') learn(s, node!, event, asked);
  asked.open--;
}

/** Work for a frame that has ended still tells how fast the node is, once for each tile that it was asked for. */
function learn(s: State, node: Node, event: TileResult, asked: EndedAsks): void {
  const facts = s.plans.get(event.plan)?.facts.stages[event.stage]?.tiles[event.t_id];
  if (facts === undefined) return;
  const claim = { queueMs: event.queue_ms, computeMs: event.compute_ms };
  const { computeMs } = believe(claim, s.now - asked.sent_at, node.answered_at - asked.sent_at, 1 / asked.tiles);
  node.answered_at = s.now;
  const key = stageKey(event.plan, event.stage);
  observeWork(node.statistics, key, Math.max(1, facts.cost), computeMs, s.options.gamma);
}

/** One tile came back: the first answer of somebody who was asked is used. */
export function onTileResult(s: State, event: TileResult): void {
  const node = s.nodes.get(event.node);
  const found = node === undefined ? 'stray' : findAsk(s, event);
  if (node !== undefined) onHeard(s, node);
  const second = auditOf(s, event);
  if (second !== undefined) {
    onSecond(s, second, event);
    return;
  }
  if (typeof found === 'string') {
    noteUnused(s, found, node, event);
    s.effects.push({ type: 'discard', handle: event.handle, why: found });
    return;
  }
  const { frame, ask } = found;
  const { tile } = ask;
  answer(s, ask, event);
  frame.bytes_down += event.bytes;
  ask.node.counts.bytes_down += event.bytes;
  const isOpen = tile.state === 'asked' || tile.state === 'unplaced';
  if (frame.phase !== 'running' || !isOpen || ask.node.audit.out) {
    s.notes.late++;
    s.effects.push({ type: 'discard', handle: event.handle, why: 'late' });
    return;
  }
  if (tile.state === 'unplaced') ask.batch.stage.unplaced--;
  tile.state = 'pasting';
  tile.used = ask;
  cancel(s, tile.asks.filter(isLive));
  const { stage, t_id } = event;
  const audited = audit(s, frame, ask.batch.stage, tile, ask.node);
  const paste = { type: 'paste', handle: event.handle, i_id: frame.i_id, stage, t_id } as const;
  s.effects.push(audited === undefined ? paste : { ...paste, audit: audited });
}

function fail(s: State, ask: Ask, text: string): void {
  const { tile, node } = ask;
  node.counts.errors++;
  if (!ask.probe) {
    tile.tries++;
    tile.failed_on.add(node.id);
    tile.last_error = `${node.id}: ${text}`;
  }
  failed(s, ask);
}

/** A node could not do a tile: others are asked at once. */
export function onTileError(s: State, event: TileError): void {
  const node = s.nodes.get(event.node);
  const found = node === undefined ? 'stray' : findAsk(s, event);
  if (node !== undefined) onHeard(s, node);
  if (typeof found === 'string') {
    const second = auditOf(s, event);
    if (second !== undefined) second.ask.state = 'failed';
    noteUnused(s, found, node, event);
    return;
  }
  const { ask } = found;
  const held = ask.node.held_bytes;
  fail(s, ask, `${event.code}: ${event.text}`);
  if (event.code === 'unknown-plan') {
    // It has forgotten the plan (evicted, restarted unseen): it is asked to prepare it again before it gets more.
    ask.node.readiness.delete(event.plan);
    for (const held of ask.node.queue.filter(({ batch }) => batch.frame.run.plan.id === event.plan))
      end(s, held, 'dropped');
    s.fleet_changed = true;
  }
  // Less at a time from now on; one tile is always given, whatever its size.
  if (event.code === 'out-of-memory') ask.node.memory_bytes = Math.min(ask.node.memory_bytes, held) / 2;
}

/** The outputs of a tile are in the frame's tensors, or were not what was asked for. */
export function onPasted(s: State, frame: Frame, event: Extract<Event, { type: 'pasted' }>): void {
  const stage = frame.stages[event.stage];
  const tile = stage?.tiles[event.t_id];
  if (stage === undefined || tile?.state !== 'pasting' || frame.phase !== 'running') return;
  const ask = tile.used!;
  if (event.ok && !ask.node.audit.out) {
    tile.state = 'done';
    ask.node.counts.tiles++;
    if (ask.hedged) ask.node.counts.hedges_won++;
    tileDone(s, frame, stage);
    if (event.exit === true && stage.stage.exit !== undefined) takeExit(s, frame, stage);
    return;
  }
  if (!event.ok) onFirstFailed(s, tile);
  tile.used = null;
  tile.state = 'asked';
  ask.state = 'failed';
  fail(s, ask, event.ok ? 'it answered wrongly elsewhere' : 'its outputs were not what was asked for');
  // Its T_L may have passed while it was being pasted.
  if (stage.fills && stage.due_at <= s.now) fill(s, frame, stage);
}
