import { failureOf } from '../shared/errors.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import type { Log } from '../shared/ports.ts';
import type { FrameEnvelope } from '../shared/protocol/messages/frame.ts';
import { type Arrival, type BornArrival, isBorn } from '../shared/runtime/frame-parser.ts';
import type { OpenFrameEffect } from './coordinator/effects.ts';
import type { UntimedEvent } from './coordinator/events.ts';
import type { DataPlane, Opened } from './data-plane/data-plane.ts';
import type { BornFrames } from './ingest/born-frames.ts';
import type { ServedPlan } from './served-model.ts';

/** What `FrameOpening` needs. */
export interface FrameOpeningOptions {
  readonly data: Pick<DataPlane, 'open'>;
  readonly born: Pick<BornFrames, 'open' | 'take' | 'copy'>;
  readonly tell: (event: UntimedEvent) => void;
  readonly log: Log;
  /** Whether a frame was not released meanwhile. */
  readonly isOpen: (i_id: string) => boolean;
  readonly onSize: (i_id: string, size: Opened) => void;
}

type Of = Pick<OpenFrameEffect, 'model' | 'plan'> & { readonly section?: OpenFrameEffect['section'] };

/**
 * Opens frames at central or at the nodes where they were born; outcomes are told as events.
 *
 *   at its node --the node opened it--> opened
 *               --it cannot--> not opened; then `take`
 *   at central  --decoded--> opened; a frame that was born at a node is taken first
 */
export class FrameOpening {
  readonly #options: FrameOpeningOptions;
  readonly #throttledLog: LogThrottle;
  /** Pictures of frames with sections that were born at nodes. */
  readonly #taken = new Map<string, Promise<FrameEnvelope>>();

  constructor(options: FrameOpeningOptions) {
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
  }

  /** Opens a frame that has arrived. */
  open(arrival: Arrival, { i_id, model, plan, at, copies, section }: OpenFrameEffect): void {
    if (isBorn(arrival) && at !== CENTRAL) {
      void this.#openThere(i_id, arrival, { model, plan });
      return;
    }
    const copied = Promise.all(copies.map((node) => this.#options.born.copy(i_id, plan, arrival, node)));
    this.#opened(i_id, this.#decode(i_id, arrival, { model, plan, section }), copied);
  }

  /** Has central take a frame that cannot be opened where it was born. */
  take(i_id: string, { arrival, served }: { readonly arrival: Arrival; readonly served: ServedPlan }): void {
    const of = { model: served.model.name, plan: served.compiled.plan.id };
    this.#opened(i_id, this.#decode(i_id, arrival, of));
  }

  /** Has the node where a frame was born open it. */
  async #openThere(i_id: string, arrival: BornArrival, of: Of): Promise<void> {
    const { data, born, tell, isOpen } = this.#options;
    const { node, width, height } = arrival.born;
    try {
      await born.open(i_id, of.plan, arrival);
    } catch (error) {
      if (!isOpen(i_id)) return;
      this.#throttledLog.warn(`open ${node}`, `central takes a frame: ${failureOf(error).message}`);
      tell({ type: 'frame-not-opened', i_id });
      return;
    }
    this.#opened(i_id, data.open({ i_id, ...of, frame: { width, height } }));
  }

  /** Decodes a frame at central. */
  async #decode(i_id: string, arrival: Arrival, of: Of): Promise<Opened> {
    const { data, tell } = this.#options;
    if (!isBorn(arrival)) return data.open({ i_id, ...of, frame: arrival.envelope });
    const frame = await this.#take(i_id, arrival, of.section?.frame_id);
    tell({ type: 'frame-taken', i_id });
    return data.open({ i_id, ...of, frame });
  }

  /** The picture of a frame from where it was born; that of a frame with sections is taken once for all of them. */
  #take(i_id: string, arrival: BornArrival, frameId: string | undefined): Promise<FrameEnvelope> {
    if (frameId === undefined) return this.#options.born.take(i_id, arrival);
    const taken = this.#taken.get(frameId) ?? this.#options.born.take(i_id, arrival);
    this.#taken.set(frameId, taken);
    return taken;
  }

  /** A frame with sections has ended. */
  forget(frameId: string): void {
    this.#taken.delete(frameId);
  }

  #opened(i_id: string, opened: Promise<Opened>, copied: Promise<(string | undefined)[]> = Promise.resolve([])): void {
    const { tell, onSize } = this.#options;
    Promise.all([opened, copied]).then(
      ([size, nodes]) => {
        onSize(i_id, size);
        const copies = nodes.filter((node) => node !== undefined);
        tell({ type: 'frame-opened', i_id, copies });
      },
      (error: unknown) => tell({ type: 'frame-failed', i_id, failure: failureOf(error, 'TESSERA_INPUT_INVALID') }),
    );
  }
}
