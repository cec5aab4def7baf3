import type { MoveRegionsEffect, PartWay, SendEffect, WorkEffect } from '../../central/coordinator/effects.ts';
import type { PartResult, RegionsMissing, RegionsMoved } from '../../central/coordinator/events.ts';
import type { SchedulablePart, SchedulablePlan } from '../../shared/plan/compiled-plan.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Box } from '../../shared/tensor/tensor.ts';
import { assert } from './assert.ts';

type PartName = { readonly i_id: string; readonly stage: number; readonly t_id: number };

const partKey = ({ i_id, stage, t_id }: PartName): string => `${i_id} ${stage} ${t_id}`;

/**
 * Checks the coordinator's invariants about regions (13, 16): where each of them is follows from events and effects
 * alone.
 */
export class RegionsInvariants {
  /** By part and tensor: `central`, and nodes that made it and have it still. */
  readonly #at = new Map<string, Set<string>>();
  /** By part: what is being pasted at central. */
  readonly #moving = new Map<string, readonly string[]>();
  /** Regions that were sent, or ordered to be sent: part, tensor, box and receiver. */
  readonly #sent = new Set<string>();
  /** By request of a `send`: whose regions, and who was to send them. */
  readonly #orders = new Map<number, PartName & { readonly node: string }>();
  readonly #silent = new Set<string>();
  readonly #offline = new Set<string>();
  /** By frame: nodes that may have regions of it. */
  readonly #visited = new Map<string, Set<string>>();
  /** By node: frames of which it is still to be told. */
  readonly #unfreed = new Set<string>();

  #holders(part: string, tensor: string): Set<string> {
    const key = `${part} ${tensor}`;
    const known = this.#at.get(key) ?? new Set();
    this.#at.set(key, known);
    return known;
  }

  #visit(i_id: string, node: string): void {
    if (node === CENTRAL) return;
    this.#visited.set(i_id, (this.#visited.get(i_id) ?? new Set()).add(node));
  }

  #canSend(part: string, tensor: string, node: string): boolean {
    return this.#holders(part, tensor).has(node) && !this.#silent.has(node);
  }

  /** A node has answered a request. */
  made(event: PartResult, way: PartWay | undefined): void {
    if (!this.#visited.has(event.i_id)) return;
    const kept = way?.out.filter(({ to }) => to.includes(event.node)) ?? [];
    if (!this.#offline.has(event.node))
      // What comes along is not told a second time.
      for (const { tensor, to } of kept)
        if (
          event.regions.some((region) => region.tensor === tensor && (region.at === event.node || to.includes(CENTRAL)))
        )
          this.#holders(partKey(event), tensor).add(event.node);
  }

  move(effect: MoveRegionsEffect): void {
    this.#moving.set(partKey(effect), effect.tensors);
  }

  /** Returns what is at central now. */
  moved(event: RegionsMoved): readonly string[] {
    const tensors = this.#moving.get(partKey(event)) ?? [];
    this.#moving.delete(partKey(event));
    if (!event.ok) return [];
    for (const tensor of tensors) this.#holders(partKey(event), tensor).add(CENTRAL);
    return tensors;
  }

  /** Parts of which there are zeros at central. */
  filled(part: string, out: SchedulablePart['out']): void {
    for (const { tensor } of out) this.#holders(part, tensor).add(CENTRAL);
  }

  /** Whether some of what a part made is nowhere. */
  isGone(part: string, out: SchedulablePart['out']): boolean {
    return out.some(({ tensor }) => ![...this.#holders(part, tensor)].some((node) => !this.#silent.has(node)));
  }

  /** The result of a part was found to be wrong. */
  takenBack(part: string): void {
    for (const [key, holders] of this.#at) if (key.startsWith(`${part} `)) holders.clear();
  }

  /** A node has lost its regions, or those of one frame. */
  lost(node: string, i_id = ''): void {
    if (node === CENTRAL) return;
    for (const [key, holders] of this.#at) if (i_id === '' || key.startsWith(`${i_id} `)) holders.delete(node);
    for (const key of this.#sent)
      if (key.endsWith(` ${node}`) && (i_id === '' || key.startsWith(`${i_id} `))) this.#sent.delete(key);
  }

  missing({ node, request, regions }: RegionsMissing): void {
    const ordered = this.#orders.get(request);
    if (ordered?.node !== node) return;
    for (const { tensor } of regions) this.#holders(partKey(ordered), tensor).delete(node);
  }

  /** A node's presence, as the coordinator says it. */
  heard(node: string, event: string): void {
    if (event === 'silent') this.#silent.add(node);
    if (event === 'back' || event === 'online') {
      this.#silent.delete(node);
      this.#offline.delete(node);
    }
    if (event === 'offline') {
      this.#offline.add(node);
      this.lost(node);
    }
  }

  send(effect: SendEffect): void {
    const part = partKey(effect);
    for (const { tensor, box } of effect.regions) {
      assert(
        this.#canSend(part, tensor, effect.node),
        `13: ${effect.node} is to send ${tensor} of ${part}, which it lacks`,
      );
      for (const to of effect.to) this.#note(part, tensor, box, to);
    }
    const { i_id, stage, t_id, node } = effect;
    this.#orders.set(effect.request, { i_id, stage, t_id, node });
    for (const to of effect.to) this.#visit(i_id, to);
  }

  #note(part: string, tensor: string, box: Box, to: string): void {
    this.#sent.add(`${part} ${tensor} ${box.join()} ${to}`);
  }

  /** A part gets work. */
  work({ i_id, stage, node, ways }: WorkEffect, { t_id, links }: SchedulablePart): void {
    const way = ways?.find((one) => one.t_id === t_id);
    links.forEach((link, k) => {
      const source = way?.in[k];
      const part = partKey({ i_id, stage: link.stage, t_id: link.t_id });
      const name = `13: part ${t_id} of stage ${stage} gets work at ${node}, and ${link.tensor} of ${part}`;
      const holders = this.#holders(part, link.tensor);
      if (source?.held === undefined && source?.from === undefined)
        assert(holders.has(CENTRAL), `${name} is not at central`);
      else if (source.from === undefined) assert(holders.has(node), `${name} is not there`);
      else {
        assert(this.#canSend(part, link.tensor, source.from), `${name} is not at ${source.from}`);
        const key = `${part} ${link.tensor} ${link.box.join()} ${node}`;
        assert(this.#sent.has(key), `${name} was not sent there`);
      }
    });
    if (way === undefined) return;
    this.#visit(i_id, node);
    for (const { tensor, box, to } of way.out)
      for (const receiver of to) {
        this.#visit(i_id, receiver);
        if (receiver !== node) this.#note(partKey({ i_id, stage, t_id }), tensor, box, receiver);
      }
  }

  /** Throws unless all outputs of all parts were made, and those that central reads are there. */
  isComplete(i_id: string, { stages, answers }: SchedulablePlan): void {
    stages.forEach(({ parts }, stage) => {
      for (const { t_id, out } of parts)
        for (const { tensor } of out) {
          const key = `${partKey({ i_id, stage, t_id })} ${tensor}`;
          assert(this.#at.has(key), `13: ${i_id} ends ok, and nobody made ${key}`);
          if (answers.includes(tensor))
            assert(this.#at.get(key)!.has(CENTRAL), `13: ${i_id} ends ok, and ${key} is not at central`);
        }
    });
  }

  endFrame(i_id: string): void {
    for (const node of this.#visited.get(i_id) ?? [])
      if (!this.#offline.has(node)) this.#unfreed.add(`${node} ${i_id}`);
    this.#visited.delete(i_id);
    for (const of of [this.#at, this.#moving, this.#sent])
      for (const key of of.keys()) if (key.startsWith(`${i_id} `)) of.delete(key);
    for (const [request, part] of this.#orders) if (part.i_id === i_id) this.#orders.delete(request);
  }

  free(node: string, i_ids: readonly string[]): void {
    for (const i_id of i_ids)
      assert(this.#unfreed.delete(`${node} ${i_id}`), `16: ${node} is told twice that ${i_id} ended, or for nothing`);
  }

  /** Checks what must hold after each step. */
  check(): void {
    for (const missing of this.#unfreed) throw new Error(`invariant 16: ${missing} is not freed`);
  }
}
