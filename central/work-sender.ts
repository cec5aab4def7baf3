import { failureOf } from '../shared/errors.ts';
import { wireBox } from '../shared/node/tensor-store.ts';
import type { Log } from '../shared/ports.ts';
import type { ControlMessage } from '../shared/protocol/messages/control.ts';
import type { WorkInput, WorkMessage } from '../shared/protocol/messages/work.ts';
import type { AuditedParts } from './audited-parts.ts';
import type { CancelEffect, WorkEffect } from './coordinator/effects.ts';
import type { UntimedEvent } from './coordinator/events.ts';
import type { DataPlane } from './data-plane/data-plane.ts';
import type { NodeLink } from './nodes/node-link.ts';
import type { ServedPlan } from './served-model.ts';

/** What `WorkSender` needs. */
export interface WorkSenderOptions {
  readonly link: Pick<NodeLink, 'isLocal' | 'work'>;
  readonly data: Pick<DataPlane, 'pack' | 'packWays'>;
  readonly audits: Pick<AuditedParts, 'keepInputs'>;
  /** The plan of an open frame. */
  readonly served: (i_id: string) => ServedPlan;
  readonly control: (node: string, message: ControlMessage) => void;
  readonly tell: (event: UntimedEvent) => void;
  readonly log: Log;
}

/**
 * Sends work to nodes, with its inputs that are packed for it, and cancels it.
 *
 *   packing --inputs packed--> sent; parts that were cancelled meanwhile are left out
 *   packing --packing or sending fails--> told as failed, part by part
 */
export class WorkSender {
  readonly #options: WorkSenderOptions;
  /** Work whose inputs are being packed, and its parts that were not cancelled meanwhile. */
  readonly #packing = new Map<WorkEffect, Set<number>>();

  constructor(options: WorkSenderOptions) {
    this.#options = options;
  }

  /** Packs and sends work; its outcome is told as events. */
  async send(effect: WorkEffect): Promise<void> {
    const { data, link, audits, served, tell, log } = this.#options;
    const { node, plan, i_id, stage, attempt, t_ids, ways, budget_ms, audit, hasFrame = false } = effect;
    const wanted = new Set(t_ids);
    this.#packing.set(effect, wanted);
    try {
      const isLocal = link.isLocal(node);
      const hub = t_ids.filter((t_id) => ways?.some((way) => way.t_id === t_id) !== true);
      // An audit compares results of inputs that were encoded alike, also those of central's own executor.
      const own = isLocal && audit === undefined;
      const packed = hub.length === 0 ? [] : await data.pack(i_id, plan, stage, hub, { own, hasFrame });
      const straight = ways === undefined ? [] : await data.packWays(i_id, plan, stage, ways, hasFrame);
      const tiles = [...(packed ?? []), ...straight].filter(({ t_id }) => wanted.has(t_id));
      if (tiles.length === 0) return;
      if (audit !== undefined) audits.keepInputs(audit, packed ?? [], isLocal);
      const message = { v: 1, plan, i_id, stage, attempt, budget_ms, tiles } as const;
      const bytes = await link.work(node, hasFrame ? withHeldFrame(message, served(i_id)) : message);
      if (!isLocal) tell({ type: 'work-sent', node, i_id, stage, attempt, bytes });
    } catch (error) {
      const { message: text } = failureOf(error);
      log.warn(`work for ${node}: ${text}`);
      for (const t_id of t_ids)
        tell({ type: 'part-error', node, plan, i_id, stage, t_id, attempt, code: 'run-failed', text });
    } finally {
      this.#packing.delete(effect);
    }
  }

  /** Cancels parts. A `cancel` is sent at once, so it would overtake work that is being packed. */
  cancel({ node, i_id, stage, t_ids }: CancelEffect): void {
    for (const [work, wanted] of this.#packing)
      if (work.node === node && work.i_id === i_id && work.stage === stage)
        for (const t_id of t_ids) wanted.delete(t_id);
    this.#options.control(node, { v: 1, type: 'cancel', i_id, stage, t_id: [...t_ids] });
  }
}

/** Names the frame's tensor, which the node has, among the inputs of tiles. */
function withHeldFrame(message: WorkMessage, { compiled, model }: ServedPlan): WorkMessage {
  const { parts } = compiled.stages[message.stage]!;
  const tiles = message.tiles.map((tile) => {
    const held = parts[tile.t_id]!.in.filter(({ tensor }) => tensor === model.input.name);
    const named = held.map(({ tensor, box }): WorkInput => ({ tensor, box: wireBox(box), held: true }));
    return { ...tile, in: [...named, ...tile.in] };
  });
  return { ...message, tiles };
}
