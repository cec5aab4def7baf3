import { Worker } from 'node:worker_threads';
import type { Failure } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { FrameEnvelope, Prediction, WireRegion } from '../../shared/protocol/messages.ts';
import { buffersOf, ownBytes, WorkerCalls } from '../../shared/runtime/worker-call.ts';
import { workerEntry } from '../../shared/runtime/worker-entry.ts';
import type { TensorSpec } from '../../shared/tensor/tensor.ts';
import type { PackedTile, PlanLayout } from './frame-store.ts';

/** A frame to decode: its picture or tensor, and the model and plan it was accepted for. */
export interface OpenFrame {
  readonly i_id: string;
  readonly model: string;
  readonly plan: string;
  readonly frame: FrameEnvelope;
}

/** A frame that was decoded: pixels of the source picture after EXIF turning; null for a tensor. */
export interface Opened {
  readonly width: number | null;
  readonly height: number | null;
}

/** What the network said. `regions`: its outputs, where they were asked for. */
export interface Finished {
  readonly top: { label: string; score: number } | null;
  readonly predictions: Prediction[];
  readonly regions: WireRegion[];
}

/**
 * Central's hands: every operation on a frame's bytes, done in one worker thread in the order of the calls. Buffers
 * move there and back; they are not copied, except for payloads that still belong to the MQTT client.
 */
export class DataPlane {
  readonly #calls: WorkerCalls;

  constructor(onEnd: (error: Error) => void) {
    this.#calls = new WorkerCalls(new Worker(workerEntry(import.meta.url, './data-plane-worker.ts')), onEnd);
  }

  /** Makes a model known. `input`: the graph's input that frames become; `picture`: frames are pictures, not tensors. */
  model(entry: {
    name: string;
    card: ModelCard;
    labels: readonly string[];
    input: TensorSpec & { name: string };
    picture: boolean;
    outputs: readonly string[];
  }): Promise<void> {
    return this.#calls.call('model', entry);
  }

  plan(layout: PlanLayout): Promise<void> {
    return this.#calls.call('plan', layout);
  }

  forgetPlan(id: string): Promise<void> {
    return this.#calls.call('forgetPlan', id);
  }

  /** Decodes a frame and keeps it. Throws TesseraError TESSERA_INPUT_INVALID or TESSERA_INPUT_TOO_LARGE. */
  open(request: OpenFrame): Promise<Opened> {
    const d = ownBytes(request.frame.d);
    return this.#calls.call('open', { ...request, frame: { ...request.frame, d } }, buffersOf([d]));
  }

  /** The tiles of a work message, ready to send; undefined when the frame has ended. */
  pack(iId: string, plan: string, stage: number, tIds: readonly number[]): Promise<PackedTile[] | undefined> {
    return this.#calls.call('pack', { i_id: iId, plan, stage, tIds });
  }

  /** Puts a tile's results in place; the failure says what is wrong with them. */
  paste(iId: string, plan: string, stage: number, tId: number, out: readonly WireRegion[]): Promise<Failure | null> {
    const owned = out.map((region) => ({ ...region, d: ownBytes(region.d) }));
    return this.#calls.call(
      'paste',
      { i_id: iId, plan, stage, t_id: tId, out: owned },
      buffersOf(owned.map((region) => region.d)),
    );
  }

  /** Reads the network's answer; with `tensors` its outputs come along. */
  finish(iId: string, tensors: boolean): Promise<Finished> {
    return this.#calls.call('finish', { i_id: iId, tensors });
  }

  release(iId: string): Promise<void> {
    return this.#calls.call('release', iId);
  }

  /** Bytes of all tensors held. */
  bytes(): Promise<number> {
    return this.#calls.call('bytes', null);
  }

  stop(): Promise<void> {
    return this.#calls.end();
  }
}
