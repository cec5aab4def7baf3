import type { RegionsMissing } from './events.ts';
import { forget, isAt, makerOf, supplyOf } from './regions.ts';
import { cancel } from './requests.ts';
import type { Frame, Node, PartRun, State } from './state.ts';
import { endFetch } from './transfers.ts';

/** Nodes lose regions: parts that were to get them are placed again, and what is nowhere any more is made again. */

function partsOf({ stages }: Frame): PartRun[] {
  return stages.flatMap(({ parts }) => parts);
}

/** A node has lost what it had of open frames, or of those of one plan, and what it is about to have. */
export function forgetNode(s: State, node: Node, plan?: string): void {
  for (const frame of s.frames.values()) {
    if (!frame.visited.has(node.id) || (plan !== undefined && frame.run.plan.id !== plan)) continue;
    for (const request of frame.requests) {
      if (request.node === node) request.departures = -1;
      if (request.way !== null) forgetDeliveries(request.way.deliveries, node);
    }
    for (const part of partsOf(frame)) {
      forget(part, node.id);
      forgetDeliveries(part.sent, node);
    }
  }
  distrust(s, node);
}

/** Nobody counts on what was sent to a node, nor on what is to be sent with work that is under way. */
function forgetDeliveries(names: Pick<Set<string>, 'keys' | 'delete'>, { id }: Node): void {
  for (const name of names.keys()) if (name.startsWith(`${id} `)) names.delete(name);
}

/** A node is silent, left out or gone: nobody waits for what it was to send. */
export function distrust(s: State, node: Node): void {
  for (const frame of s.frames.values()) {
    if (!frame.visited.has(node.id)) continue;
    for (const part of partsOf(frame))
      if (part.fetch?.from === node.id && !part.fetch.isMoving) endFetch(s, frame, part);
    dropStarved(s, frame);
  }
}

/** Cancels requests whose inputs may never come: their parts are placed again, once their inputs are somewhere. */
function dropStarved(s: State, frame: Frame): void {
  const starved = frame.requests.filter(({ state, part, node, way }) => {
    if (state === 'queued') return part.facts.links.some((link) => supplyOf(s, frame, part, link, node) === undefined);
    if (state !== 'sent' || way === null) return false;
    return part.facts.links.some((link, k) => {
      const supply = way.in[k]!;
      if (typeof supply !== 'object' || supply.delivery?.isSent === true) return false;
      return !isAt(s, makerOf(frame, link), link.tensor, supply.from);
    });
  });
  if (starved.length > 0) cancel(s, starved);
}

/** A node does not have regions that it should have: nobody counts on them any more. */
export function lose(s: State, frame: Frame, part: PartRun, node: string, tensor?: string): void {
  forget(part, node, tensor);
  if (part.fetch?.from === node && !part.fetch.isMoving) endFetch(s, frame, part);
  dropStarved(s, frame);
}

/** Regions did not come to central in time: the node that was to send them is not counted on for them. */
export function onFetchLate(s: State, frame: Frame, part: PartRun): void {
  if (part.fetch !== null && !part.fetch.isMoving) lose(s, frame, part, part.fetch.from);
}

/** A node cannot send what it was ordered to. */
export function onMissing(s: State, frame: Frame, { node, request, regions }: RegionsMissing): void {
  const ordered = frame.sends.get(request);
  if (ordered?.from !== node) return;
  frame.sends.delete(request);
  for (const { tensor } of regions) lose(s, frame, ordered.part, node, tensor);
}
