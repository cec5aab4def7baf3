import type { SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { passesCentral } from '../../shared/plan/passes-central.ts';
import { CENTRAL, type Stage } from '../../shared/plan/plan.ts';
import { allocate, allocateTogether } from '../scheduler/allocate.ts';
import { hasFrameFor } from './birthplace.ts';
import { candidatesFor, loadOf } from './candidates.ts';
import type { Route } from './effects.ts';
import { isPlaced, isReady, readyNodes } from './may-run.ts';
import { deliveryName, isAtCentral, makerOf, supplyOf } from './regions.ts';
import type { Frame, Node, PartRun, Reader, Request, StageRun, State, Way, Ways } from './state.ts';

/**
 * Which way regions go. A tensor that a stage on nodes reads goes straight: the node that made a region keeps it, and
 * sends it to the nodes whose parts read it, as soon as these are known. It comes to central (too) where
 *
 *   - central itself reads it: an output of the network, or the tensor of an exit;
 *   - only central may run a stage that reads it, or no node is ready for such a stage;
 *   - straight ways would take more (shared/plan/passes-central.ts);
 *   - the frame's camera fills late tiles with zeros: then everything comes to central, and nothing goes straight.
 *
 * A part of a following stage runs at the node to which it is pinned, else where most bytes of its input are made: tiles
 * stay at their node, and only halos move. Where none of the nodes that make its input may run it, its node is chosen by
 * the usual allocation, when the parts that it reads are placed.
 */

/** Whether only central may run a stage, as far as its placement says. */
function isForCentral({ on }: Stage): boolean {
  const named = on.parts ?? ('nodes' in on && on.nodes !== '*' ? on.nodes : []);
  return named.length > 0 && named.every((node) => node === CENTRAL);
}

/** The ways of a plan's tensors. */
export function waysOf(facts: SchedulablePlan): Ways {
  const { plan, stages, answers } = facts;
  const straight = new Set<string>();
  const home = new Set(answers);
  const read = new Set<string>();
  for (const stage of plan.stages)
    for (const tensor of stage.inputs) {
      read.add(tensor);
      (isForCentral(stage) || passesCentral(facts, tensor) ? home : straight).add(tensor);
    }
  for (const { outputs } of plan.stages) for (const tensor of outputs) if (!read.has(tensor)) home.add(tensor);
  const readers = new Map<string, Reader[]>();
  stages.forEach(({ parts }, stage) => {
    for (const { t_id, links } of parts)
      for (const link of links) {
        const name = `${link.stage} ${link.t_id}`;
        const reader = { stage, t_id, link };
        const known = readers.get(name);
        if (known === undefined) readers.set(name, [reader]);
        else known.push(reader);
      }
  });
  return { straight, home, readers };
}

/** Whether regions of a frame may go straight from node to node. */
function isStraight({ policy }: Frame): boolean {
  return policy.deadline !== 'fill';
}

function readersOf({ run }: Frame, part: PartRun): readonly Reader[] {
  return run.ways.readers.get(`${part.stage} ${part.facts.t_id}`) ?? [];
}

/** Whether what a part makes of a tensor at a node comes to central with the result. */
function comesHome(s: State, frame: Frame, part: PartRun, tensor: string, node: Node): boolean {
  const { straight, home } = frame.run.ways;
  if (node.isLocal || !isStraight(frame)) return true;
  if (isAtCentral(s, part, tensor)) return false;
  if (!straight.has(tensor) || home.has(tensor)) return true;
  return readersOf(frame, part).some(({ stage, t_id, link }) => {
    if (link.tensor !== tensor) return false;
    const reader = frame.stages[stage]!.parts[t_id]!;
    if (reader.state !== 'unplaced') return false;
    return reader.home === null ? readyNodes(s, frame.run, stage).length === 0 : reader.home.isLocal;
  });
}

/** Bytes that travel if a part runs at a node: its inputs to the node, and its outputs to central. */
export function travelling(
  s: State,
  frame: Frame,
  part: PartRun,
  node: Node,
): { readonly cost: number; readonly bytes_in: number; readonly bytes_home: number } {
  const { bytes_in, bytes_out, links, out } = part.facts;
  const { cost } = loadOf(part);
  if (!isStraight(frame) || frame.run.ways.straight.size === 0) return { cost, bytes_in, bytes_home: bytes_out };
  const held = links.filter((link) => supplyOf(s, frame, part, link, node) === 'held');
  const home = out.filter(({ tensor }) => comesHome(s, frame, part, tensor, node));
  return {
    cost,
    bytes_in: held.reduce((left, { bytes }) => left - bytes, bytes_in),
    bytes_home: home.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** The node where a part is requested, was done, or will be placed. */
function nodeOf(part: PartRun): Node | null {
  const live = part.requests.find(({ probe, state }) => !probe && (state === 'queued' || state === 'sent'));
  return part.used?.node ?? live?.node ?? part.home;
}

/** The node, of those that may run the parts, at which most bytes are made that they read. */
function mostAt(frame: Frame, parts: readonly PartRun[], may: (node: Node) => boolean): Node | null {
  const bytes = new Map<Node, number>();
  for (const { facts } of parts)
    for (const link of facts.links) {
      const node = nodeOf(makerOf(frame, link));
      if (node !== null && may(node)) bytes.set(node, (bytes.get(node) ?? 0) + link.bytes);
    }
  return [...bytes].reduce<Node | null>(
    (best, [node, sum]) => (best !== null && bytes.get(best)! >= sum ? best : node),
    null,
  );
}

/** Chooses nodes for the parts of the stages after this one, as far as they read what goes straight. */
export function chooseHomes(s: State, frame: Frame, placed: StageRun): void {
  const { run } = frame;
  if (!isStraight(frame)) return;
  for (const stage of frame.stages.slice(placed.stage.id + 1)) {
    if (!stage.stage.inputs.some((tensor) => run.ways.straight.has(tensor))) continue;
    const may = (part: PartRun, node: Node): boolean =>
      isReady(node, run, part.stage) &&
      isPlaced(node, stage.stage.on, part.facts.t_id) &&
      hasFrameFor(s, frame, part, node) &&
      !part.failed_on.has(node.id);
    const homeless = stage.parts.filter(
      (part) =>
        part.state === 'unplaced' && part.facts.links.length > 0 && (part.home === null || !may(part, part.home)),
    );
    if (homeless.length === 0) continue;
    for (const part of homeless) part.home = null;
    if (stage.stage.on.mode === 'replicate') {
      const together = mostAt(frame, homeless, (node) => homeless.every((part) => may(part, node)));
      for (const part of homeless) part.home = together;
    } else for (const part of homeless) part.home = mostAt(frame, [part], (node) => may(part, node));
    const left = homeless.filter(({ home }) => home === null);
    if (left.length > 0) allocateHomes(s, frame, stage, left, may);
  }
}

function allocateHomes(
  s: State,
  frame: Frame,
  stage: StageRun,
  parts: readonly PartRun[],
  may: (part: PartRun, node: Node) => boolean,
): void {
  const candidates = candidatesFor(readyNodes(s, frame.run, stage.stage.id), frame, stage);
  const allowed = (t: number, k: number): boolean => may(parts[t]!, candidates[k]!.node);
  const loads = parts.map(loadOf);
  const chosen =
    stage.stage.on.mode === 'replicate'
      ? loads.map(() => allocateTogether(loads, candidates, allowed))
      : allocate(loads, candidates, allowed);
  parts.forEach((part, t) => {
    part.home = candidates[chosen[t]!]?.node ?? null;
  });
}

/** Whether an exit that is not decided yet may end the frame before a stage. */
export function isUndecided({ stages }: Frame, stage: number): boolean {
  return stages.slice(0, stage).some((before) => before.stage.exit !== undefined && before.state !== 'done');
}

/**
 * The way of a part's regions as its request is sent; null where its inputs are inline and its outputs come to central
 * alone.
 */
export function wayOf(s: State, frame: Frame, { part, node, probe, dispatch }: Request): Way | null {
  if (node.isLocal || dispatch.audit !== undefined || !isStraight(frame)) return null;
  const supplies = part.facts.links.map((link) => supplyOf(s, frame, part, link, node)!);
  const home: string[] = [];
  const kept: string[] = [];
  const routes = new Map<string, { tensor: string; box: Route['box']; to: string[] }>();
  const add = (tensor: string, box: Route['box'], to: string): boolean => {
    const name = `${tensor} ${box.join(' ')}`;
    const known = routes.get(name);
    if (known?.to.includes(to) === true) return false;
    if (known === undefined) routes.set(name, { tensor, box, to: [to] });
    else known.to.push(to);
    return true;
  };
  for (const { tensor, box } of part.facts.out) {
    if (comesHome(s, frame, part, tensor, node)) {
      home.push(tensor);
      add(tensor, box, s.central.id);
    }
    if (frame.run.ways.straight.has(tensor) && !(probe && home.includes(tensor))) {
      kept.push(tensor);
      add(tensor, box, node.id);
    }
  }
  const deliveries = new Set<string>();
  const coming = new Map<Node, number>();
  if (!probe)
    for (const { stage, t_id, link } of readersOf(frame, part)) {
      const reader = frame.stages[stage]!.parts[t_id]!;
      const to = reader.home;
      if (to === null || to === node || to.isLocal || reader.state !== 'unplaced' || !kept.includes(link.tensor))
        continue;
      if (!isReady(to, frame.run, stage) || isUndecided(frame, stage)) continue;
      const before = coming.get(to) ?? 0;
      const owed = to.coming_bytes + before;
      // A receiver that is owed much asks later, by its own work.
      if (owed > 0 && owed + link.bytes > s.options.window_bytes) continue;
      deliveries.add(deliveryName(to, reader, link.tensor));
      if (add(link.tensor, link.box, to.id)) coming.set(to, before + link.bytes);
    }
  if (kept.length === 0 && supplies.every((supply) => supply === 'inline')) return null;
  return { in: supplies, out: [...routes.values()], home, kept, deliveries, coming };
}
