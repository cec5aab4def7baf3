import type { PartLink } from '../../shared/plan/compiled-plan.ts';
import type { RegionsArrived, RegionsSent } from './events.ts';
import { deliveryName, holderOf, isAtCentral, makerOf } from './regions.ts';
import type { Delivery, Frame, PartRun, Request, State } from './state.ts';

/** Orders to nodes to send regions that they have: to the node of a part that reads them, or to central. */

function order(
  s: State,
  frame: Frame,
  part: PartRun,
  { from, to }: { readonly from: string; readonly to: string },
  regions: readonly Pick<PartLink, 'tensor' | 'box'>[],
  deliveries: readonly Delivery[] = [],
): number {
  const request = s.sends++;
  const attempt = part.at.get(regions[0]!.tensor)!.get(from)!;
  frame.sends.set(request, { part, from, deliveries });
  const { t_id } = part.facts;
  const plan = frame.run.plan.id;
  const { i_id } = frame;
  s.effects.push({
    type: 'send',
    node: from,
    plan,
    i_id,
    stage: part.stage,
    t_id,
    attempt,
    regions: regions.map(({ tensor, box }) => ({ tensor, box })),
    to: [to],
    request,
  });
  return attempt;
}

/** Orders what a request reads of other nodes and nobody sends yet, one `send` for each part that made some of it. */
export function orderInputs(s: State, frame: Frame, { way, part, node }: Request): void {
  if (way === null) return;
  const wanted = new Map<PartRun, Map<string, { readonly link: PartLink; readonly delivery: Delivery }[]>>();
  part.facts.links.forEach((link, k) => {
    const supply = way.in[k]!;
    if (typeof supply !== 'object' || supply.delivery !== undefined) return;
    const { from } = supply;
    const maker = makerOf(frame, link);
    const delivery = { from, isSent: false };
    way.in[k] = { from, delivery };
    maker.sent.set(deliveryName(node, part, link.tensor), delivery);
    const bySender = wanted.get(maker) ?? new Map();
    wanted.set(maker, bySender.set(from, [...(bySender.get(from) ?? []), { link, delivery }]));
  });
  for (const [maker, bySender] of wanted)
    for (const [from, orders] of bySender) {
      const links = orders.map(({ link }) => link);
      order(
        s,
        frame,
        maker,
        { from, to: node.id },
        links,
        orders.map(({ delivery }) => delivery),
      );
    }
}

/** Encoded bytes of what a part made, as a node says: at most those that it makes before encoding. */
export function believable(bytes: number, { facts }: PartRun): number {
  return Math.min(bytes, facts.bytes_out);
}

/** A node says that the network has what it was ordered to send. */
export function onSent(frame: Frame, { node, request, bytes }: RegionsSent): void {
  const ordered = frame.sends.get(request);
  if (ordered?.from !== node) return;
  if (ordered.deliveries.some(({ isSent }) => !isSent)) frame.bytes_between += believable(bytes, ordered.part);
  for (const delivery of ordered.deliveries) delivery.isSent = true;
}

function timerOf(frame: Frame, part: PartRun): string {
  return `fetch ${frame.i_id} ${part.stage} ${part.facts.t_id}`;
}

/** Has all that a part reads brought to central; true where it is there. */
export function bringHome(s: State, frame: Frame, part: PartRun): boolean {
  let all = true;
  for (const link of part.facts.links) {
    const maker = makerOf(frame, link);
    if (isAtCentral(s, maker, link.tensor)) continue;
    all = false;
    const from = holderOf(s, maker, link.tensor);
    if (maker.fetch !== null || from === undefined) continue;
    const regions = maker.facts.out.filter(
      ({ tensor }) => !isAtCentral(s, maker, tensor) && maker.at.get(tensor)?.has(from) === true,
    );
    const attempt = order(s, frame, maker, { from, to: s.central.id }, regions);
    maker.fetch = { from, attempt, tensors: regions.map(({ tensor }) => tensor), isMoving: false };
    s.timers.set(timerOf(frame, maker), s.now + s.options.fetch_ms, { kind: 'fetch', frame, part: maker });
  }
  return all;
}

/** Ends the wait for regions that were to come to central. */
export function endFetch(s: State, frame: Frame, part: PartRun): void {
  if (part.fetch === null) return;
  s.timers.clear(timerOf(frame, part));
  part.fetch = null;
}

/** Whether regions that a node sends to central were ordered. */
export function isOrdered(
  s: State,
  of: { readonly node: string; readonly i_id: string; readonly stage: number; readonly attempt: number },
): boolean {
  const parts = s.frames.get(of.i_id)?.stages[of.stage]?.parts ?? [];
  return parts.some(({ fetch }) => fetch?.from === of.node && fetch.attempt === of.attempt && !fetch.isMoving);
}

/** Regions that were ordered have come to central. */
export function onArrived(s: State, { node, i_id, plan, stage, t_id, attempt, handle }: RegionsArrived): void {
  const frame = s.frames.get(i_id);
  const part = frame?.stages[stage]?.parts[t_id];
  const fetch = part?.fetch ?? null;
  const isWanted = frame?.phase === 'running' && frame.run.plan.id === plan && fetch?.from === node;
  if (!isWanted || part === undefined || fetch.attempt !== attempt || fetch.isMoving) {
    s.discarded.stray++;
    s.effects.push({ type: 'discard', handle, why: 'stray' });
    return;
  }
  fetch.isMoving = true;
  s.effects.push({ type: 'move-regions', i_id, stage, t_id, tensors: fetch.tensors, handle });
}
