import type { Failure } from '../../shared/errors.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import { allocate, allocateTogether, tileMs } from '../scheduler/allocate.ts';
import { hedgeTarget } from '../scheduler/hedge.ts';
import { observeResponse, stageKey } from '../scheduler/statistics.ts';
import { assign, type Choice, choicesFor, isLive, loadOf, noteLate, observeSilence } from './asks.ts';
import { loseAsks } from './fleet.ts';
import { candidates, isPreparing, isReady } from './plans.ts';
import { isPlaced, whyNotNodes } from './standing.ts';
import type { Batch, Frame, Node, StageRun, State, TileRun } from './state.ts';

/** Who does which tile: the first time, again after a fault, and a second time when it is slow. */

function assignGroups(
  s: State,
  frame: Frame,
  stage: StageRun,
  groups: ReadonlyMap<Choice, TileRun[]>,
  hedged = false,
): void {
  if (groups.size === 0) return;
  const attempt = stage.attempt++;
  for (const [choice, tiles] of groups) assign(s, frame, stage, choice, tiles, { attempt, hedged });
}

/** A node believed to be slower than this share of the fastest is asked now and then whether that is still so. */
const BELIEVED_SLOW = 0.8;
/**
 * What central and broker take for one more message and its answer, one after another: 2.5 to 3.6 ms for eight of them
 * on a fast core. Where tiles cost less than that, few nodes do them sooner than many.
 */
const TURN_MS = 0.4;

/**
 * A live node that allocation passes over for long because it was slow gets a copy of the least tile: a copy costs
 * bytes, never latency, and a node whose speed is not measured any more would never get work again.
 */
function probe(s: State, frame: Frame, stage: StageRun, choices: readonly Choice[]): void {
  const least = stage.tiles.reduce((a, b) => (b.facts.cost < a.facts.cost ? b : a));
  const needs = (choice: Choice): number => choice.messageMs + tileMs(loadOf(least), choice);
  const fastest = Math.min(...choices.map(needs));
  const starved = choices
    .filter(
      (choice) =>
        choice.node.id !== CENTRAL &&
        choice.node.busy_ms === 0 &&
        s.now - choice.node.worked_at >= s.options.probe_ms &&
        fastest < BELIEVED_SLOW * needs(choice),
    )
    .sort((a, b) => a.node.worked_at - b.node.worked_at)[0];
  if (starved === undefined) return;
  if (least.asks.every((ask) => ask.node !== starved.node))
    assign(s, frame, stage, starved, [least], { attempt: stage.attempt++, probe: true });
}

/** What central has to do itself, because no other node can or those that could have failed. */
function placeOnCentral(s: State, frame: Frame, stage: StageRun, tiles: readonly TileRun[]): Failure | undefined {
  const central = s.nodes.get(CENTRAL)!;
  const { id } = stage.stage;
  const lost = tiles.find((tile) => tile.failed_on.has(CENTRAL) && tile.tries >= s.options.max_tries);
  if (lost !== undefined)
    return {
      code: 'TESSERA_RUN_FAILED',
      message: `stage ${id}, tile ${lost.facts.t_id} failed on every node and on central: ${lost.last_error}`,
      hint: 'run `tessera verify` with this model on this machine',
    };
  const { plan } = frame.run;
  const lastError = tiles.find((tile) => tile.last_error !== '')?.last_error ?? '';
  if (isReady(central, frame.run, id)) {
    if (!isPlaced(central, stage.stage.on)) frame.fallback ??= whyNotNodes(s, frame.run, id, lastError);
    assignGroups(s, frame, stage, new Map([[choicesFor([central], frame, stage)[0]!, [...tiles]]]));
    return undefined;
  }
  const readiness = central.readiness.get(plan.id);
  if (readiness?.state === 'refused' && !isPreparing(s, frame.run, id)) {
    const own = `central cannot either: ${readiness.text}`;
    if (isPlaced(central, stage.stage.on))
      return {
        code: 'TESSERA_NO_NODES',
        message: `central cannot do stage ${id} of plan ${plan.id}: ${readiness.text}`,
      };
    const { reason, text } = whyNotNodes(s, frame.run, id, lastError);
    return {
      code: 'TESSERA_NO_NODES',
      message: `stage ${id} of plan ${plan.id}: ${text.includes(readiness.text) ? `${text}; so does central` : `${text}; ${own}`}`,
      hint:
        reason === 'no-nodes'
          ? 'start node agents: `tessera agent`'
          : 'mend what they say, then restart them; `tessera nodes` shows how each stands',
    };
  }
  if (!frame.run.standby.has(id)) {
    frame.run.standby.add(id);
    s.fleet_changed = true;
  }
  return undefined;
}

/**
 * Places the tiles of a stage that nobody is asked for. What cannot be placed now (memory is full, central still
 * loads) stays unplaced and is tried again when something has changed. Returns a failure where it can never be.
 */
export function place(s: State, frame: Frame, stage: StageRun): Failure | undefined {
  const nodes = candidates(s, frame.run, stage.stage.id);
  const tiles: TileRun[] = [];
  const ours: TileRun[] = [];
  for (const tile of stage.tiles) {
    if (tile.state !== 'unplaced') continue;
    const possible = tile.tries < s.options.max_tries && nodes.some((node) => !tile.failed_on.has(node.id));
    (possible ? tiles : ours).push(tile);
  }
  const first = stage.attempt === 0;
  if (tiles.length > 0) {
    const choices = choicesFor(nodes, frame, stage);
    const allowed = (t: number, k: number): boolean => !tiles[t]!.failed_on.has(choices[k]!.node.id);
    const loads = tiles.map(loadOf);
    // As long as nothing is known all are tried.
    const turnMs = choices.some(({ known }) => known) ? TURN_MS : 0;
    let chosen: number[];
    if (stage.stage.on.mode === 'replicate') {
      const together = allocateTogether(loads, choices, allowed);
      // Where no single node may take all that is left of the frame, the pieces go their own ways.
      const apart = together === -1 && tiles.some((tile) => tile.failed_on.size > 0);
      chosen = apart ? allocate(loads, choices, allowed, turnMs) : loads.map(() => together);
    } else chosen = allocate(loads, choices, allowed, turnMs);
    const groups = new Map<Choice, TileRun[]>();
    chosen.forEach((k, t) => {
      const choice = choices[k];
      if (choice === undefined) return;
      const group = groups.get(choice);
      if (group === undefined) groups.set(choice, [tiles[t]!]);
      else group.push(tiles[t]!);
    });
    assignGroups(s, frame, stage, groups);
    if (first && groups.size > 0) probe(s, frame, stage, choices);
  }
  return ours.length === 0 ? undefined : placeOnCentral(s, frame, stage, ours);
}

/** A batch is late: each of its open tiles is asked of somebody else too, once. */
export function hedge(s: State, batch: Batch): void {
  const { frame, stage } = batch;
  const late = batch.asks.filter((ask) => isLive(ask) && ask.tile.state === 'asked' && !ask.tile.hedged);
  if (late.length === 0) return;
  noteLate(s, batch);
  const waited = s.now - batch.assigned_at;
  const choices = choicesFor(candidates(s, frame.run, stage.stage.id), frame, stage);
  const busy = new Map<Node, number>(choices.map(({ node }) => [node, node.busy_ms]));
  const groups = new Map<Choice, TileRun[]>();
  let left = false;
  for (const { tile } of late) {
    const others = choices.filter(
      ({ node }) => !tile.failed_on.has(node.id) && !tile.asks.some((ask) => ask.node === node && isLive(ask)),
    );
    const options = others.map((choice) => ({
      idle: choice.node.busy_ms === 0,
      finishMs: busy.get(choice.node)! + choice.messageMs + tileMs(loadOf(tile), choice),
    }));
    const choice = others[hedgeTarget(options, waited)];
    if (choice === undefined) {
      left = true;
      continue;
    }
    busy.set(choice.node, busy.get(choice.node)! + tileMs(loadOf(tile), choice));
    const group = groups.get(choice);
    if (group === undefined) groups.set(choice, [tile]);
    else group.push(tile);
  }
  assignGroups(s, frame, stage, groups, true);
  const again = Math.max(s.options.hedge_floor_ms, batch.hedge_ms / 2);
  if (left) s.timers.set(`hedge ${batch.id}`, s.now + again, { kind: 'hedge', batch });
}

/** A batch is hopeless: its tiles go to others, and the node counts as slow. */
export function giveUp(s: State, batch: Batch): void {
  const open = batch.asks.filter((ask) => ask.state === 'queued' || ask.state === 'sent');
  if (open.length === 0) return;
  const { node, frame, stage } = batch;
  node.counts.given_up += open.length;
  observeSilence(s, batch);
  // So that a cluster that has become slow as a whole is given more time the next time.
  const key = stageKey(frame.run.plan.id, stage.stage.id);
  observeResponse(node.statistics, key, s.now - batch.assigned_at);
  for (const { tile, probe: isProbe } of open) {
    if (isProbe) continue;
    tile.failed_on.add(node.id);
    tile.last_error = `${node.id} did not answer in time`;
  }
  loseAsks(s, open, true);
}
