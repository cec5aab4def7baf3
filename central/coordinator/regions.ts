import type { PartLink } from '../../shared/plan/compiled-plan.ts';
import { isPresent } from './may-run.ts';
import type { Frame, Node, PartRun, State, Supply } from './state.ts';

/**
 * Where the regions of open frames are. The life of a region:
 *
 *   not made --its part is done--> at central, at the node that made it, or at both
 *   at a node --with the work of its part, or by a `send`--> at the node of a part that reads it, too
 *   at a node --by a `send` to central--> at central too
 *   at a node --the node left, restarted, was left out, lost the plan or says `missing`--> not there any more
 *   nowhere --a part that still has to run reads it--> its part is unplaced, and so on down to the frame
 *   anywhere --the frame ends--> freed
 *
 * A silent node keeps its regions, but nobody counts on them until it is heard again.
 */

/** The part that makes a region. */
export function makerOf(frame: Frame, { stage, t_id }: Pick<PartLink, 'stage' | 't_id'>): PartRun {
  return frame.stages[stage]!.parts[t_id]!;
}

/** Name of the delivery of a region to the node of the part that reads it, among those of the part that makes it. */
export function deliveryName(node: Node, reader: PartRun, tensor: string): string {
  return `${node.id} ${reader.stage} ${reader.facts.t_id} ${tensor}`;
}

/** Whether central has what a part makes of a tensor, or zeros in its place. */
export function isAtCentral(s: State, part: PartRun, tensor: string): boolean {
  return part.state === 'missing' || part.at.get(tensor)?.has(s.central.id) === true;
}

/** Whether a node has what a part made of a tensor, and can be counted on. */
export function isAt(s: State, part: PartRun, tensor: string, id: string): boolean {
  const node = s.nodes.get(id);
  return node !== undefined && isPresent(node) && part.at.get(tensor)?.has(id) === true;
}

/** A node agent that has what a part made of a tensor: the one that made it first. */
export function holderOf(s: State, part: PartRun, tensor: string): string | undefined {
  for (const id of part.at.get(tensor)?.keys() ?? []) if (id !== s.central.id && isAt(s, part, tensor, id)) return id;
  return undefined;
}

/** How a part gets a region at a node; undefined where it cannot: the region is nowhere, or not yet at central. */
export function supplyOf(s: State, frame: Frame, reader: PartRun, link: PartLink, node: Node): Supply | undefined {
  const maker = makerOf(frame, link);
  const { tensor } = link;
  const atCentral = isAtCentral(s, maker, tensor);
  if (node.isLocal) return atCentral ? 'inline' : undefined;
  if (isAt(s, maker, tensor, node.id)) return 'held';
  const delivery = maker.sent.get(deliveryName(node, reader, tensor));
  if (delivery !== undefined && isAt(s, maker, tensor, delivery.from)) return { from: delivery.from, delivery };
  if (atCentral) return 'inline';
  const holder = holderOf(s, maker, tensor);
  return holder === undefined ? undefined : { from: holder, delivery: undefined };
}

function isSomewhere(s: State, frame: Frame, link: PartLink): boolean {
  const maker = makerOf(frame, link);
  return isAtCentral(s, maker, link.tensor) || holderOf(s, maker, link.tensor) !== undefined;
}

/** Whether all that a part reads is somewhere. */
export function isReadable(s: State, frame: Frame, part: PartRun): boolean {
  return part.facts.links.every((link) => isSomewhere(s, frame, link));
}

/** The same for a part that has to run: what was made for it and is nowhere any more is to be made again. */
export function isReadableYet(s: State, frame: Frame, part: PartRun): boolean {
  const lost = part.facts.links.filter((link) => !isSomewhere(s, frame, link));
  for (const link of lost) {
    const maker = makerOf(frame, link);
    // What is being pasted at central may yet be there.
    if (maker.state === 'done' && maker.fetch?.isMoving !== true) makeAgain(frame, maker);
  }
  return lost.length === 0;
}

/** A part whose result was used is unplaced again. Regions of it that central has stay there. */
export function makeAgain(frame: Frame, part: PartRun): void {
  const stage = frame.stages[part.stage]!;
  part.state = 'unplaced';
  part.used = null;
  part.sent.clear();
  stage.state = 'running';
  stage.unplaced++;
  stage.remaining++;
  frame.isBehind = true;
}

/** Central counts no longer on what a node has of a part, or of one tensor of it. */
export function forget(part: PartRun, node: string, tensor?: string): void {
  for (const [made, holders] of part.at) if (tensor === undefined || made === tensor) holders.delete(node);
}
