import { Worker } from 'node:worker_threads';
import { type Failure, TesseraError } from '../../shared/errors.ts';
import type { ModelCard } from '../../shared/model/card.ts';
import type { SectionLayout } from '../../shared/model/sections.ts';
import type { PackedPart, PackedWay, StraightPart } from '../../shared/node/tensor-store.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { ModelManifest } from '../../shared/protocol/messages/control.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { Prediction } from '../../shared/protocol/messages/result.ts';
import { Backoff } from '../../shared/runtime/backoff.ts';
import { buffersOf, ownBytes, WorkerCalls } from '../../shared/runtime/worker-call.ts';
import { workerEntry } from '../../shared/runtime/worker-entry.ts';
import type { TensorSpec } from '../../shared/tensor/tensor.ts';

/**
 * A frame to decode: its picture or tensor, and the model and plan it was accepted for. A frame that stays at the node
 * where it was born has only a size, in pixels; its picture may come later.
 */
export interface FrameToDecode {
  readonly i_id: string;
  readonly model: string;
  readonly plan: string;
  readonly frame: FrameEnvelope | { readonly width: number; readonly height: number };
  /** Only this section of the picture. */
  readonly section?: { readonly number: number; readonly layout: SectionLayout } | undefined;
}

/** A frame that was decoded: pixels of the source picture after EXIF turning; null for a tensor. */
export interface Opened {
  readonly width: number | null;
  readonly height: number | null;
}

/** The network's prediction. `regions`: its outputs, where they were requested. */
export interface FrameAnswer {
  readonly top: { label: string; score: number } | null;
  readonly predictions: Prediction[];
  readonly regions: WireRegion[];
}

/**
 * The outcome of pasting a part's results. `exit`: the stage's exit is confident enough for the frame to end with it.
 */
export interface Pasted {
  readonly failure: Failure | null;
  readonly exit: boolean;
}

/**
 * A model as the data plane knows it. `input`: the graph's input that frames become; `picture`: how pictures become it,
 * where frames are pictures. `card` names tensors as the user's file does, `outputs` as plans do; `names` has the file's name where the two differ.
 */
export interface ModelEntry {
  readonly name: string;
  readonly card: ModelCard;
  readonly labels: readonly string[];
  readonly input: TensorSpec & { readonly name: string };
  readonly picture: ModelManifest['picture'];
  readonly outputs: readonly string[];
  readonly names: ReadonlyMap<string, string>;
}

/** After a thread has run this long, the next one is started at once when it ends. */
const HEALTHY_MS = 60_000;
const PAUSE = { firstMs: 100, maxMs: 5000 } as const;

/**
 * Every operation on a frame's bytes, in one worker thread, in the order of the calls. Buffers move there and back; they
 * are not copied, except for payloads that still belong to the MQTT client.
 *
 *   running --thread ends by itself--> down --a pause, longer each time--> running; any --stop--> stopped
 *
 *   1. Calls under way when the thread ends fail with TESSERA_INTERNAL; the frames' tensors are gone (`onEnd`).
 *   2. Calls made while it is down wait for the next thread, which is told of all models and plans first.
 */
export class DataPlane {
  readonly #onEnd: (error: Error) => void;
  readonly #models = new Map<string, ModelEntry>();
  readonly #plans: () => Iterable<CompiledPlan>;
  readonly #pause = new Backoff({ ...PAUSE, steadyMs: HEALTHY_MS });
  #calls: WorkerCalls | undefined;
  #restart: NodeJS.Timeout | undefined;
  #waiting: (() => void)[] = [];
  #stopped = false;

  /** `plans`: those in use, of which a thread that is started again is told. */
  constructor(onEnd: (error: Error) => void, plans: () => Iterable<CompiledPlan>) {
    this.#onEnd = onEnd;
    this.#plans = plans;
    this.#start();
  }

  /** Registers a model. */
  model(entry: ModelEntry): Promise<void> {
    this.#models.set(entry.name, entry);
    return this.#call('model', entry);
  }

  plan(compiled: CompiledPlan): Promise<void> {
    return this.#call('plan', compiled);
  }

  forgetPlan(id: string): Promise<void> {
    return this.#call('forgetPlan', id);
  }

  /** Decodes a frame and keeps it; `d` stays with the caller. Throws TesseraError TESSERA_INPUT_INVALID or TESSERA_INPUT_TOO_LARGE. */
  open(request: FrameToDecode): Promise<Opened> {
    if (!('d' in request.frame)) return this.#call('open', request);
    const d = new Uint8Array(request.frame.d);
    return this.#call('open', { ...request, frame: { ...request.frame, d } }, buffersOf([d]));
  }

  /**
   * The tiles of a work message, ready to send; undefined when the frame has ended. `hasFrame`: without the frame's own
   * tensor, which the node has.
   */
  pack(
    iId: string,
    plan: string,
    stage: number,
    tIds: readonly number[],
    { own, hasFrame }: { readonly own: boolean; readonly hasFrame: boolean },
  ): Promise<PackedPart[] | undefined> {
    return this.#call('pack', { i_id: iId, plan, stage, tIds, own, hasFrame });
  }

  /** The tiles of a work message whose regions go other ways than to central and back; none where the frame has ended. */
  packWays(
    iId: string,
    plan: string,
    stage: number,
    ways: readonly PackedWay[],
    hasFrame: boolean,
  ): Promise<StraightPart[]> {
    return this.#call('packWays', { i_id: iId, plan, stage, ways, hasFrame });
  }

  /**
   * Pastes a part's results for these outputs, and evaluates the stage's exit if its tensor is among them; the failure
   * says what is wrong with them.
   */
  paste(
    iId: string,
    plan: string,
    stage: number,
    tId: number,
    tensors: readonly string[],
    out: readonly WireRegion[],
  ): Promise<Pasted> {
    const owned = out.map((region) => ({ ...region, d: ownBytes(region.d) }));
    const args = { i_id: iId, plan, stage, t_id: tId, tensors, out: owned };
    return this.#call('paste', args, buffersOf(owned.map((region) => region.d)));
  }

  /** Sets the outputs of parts to zeros again. */
  clear(iId: string, plan: string, stage: number, tIds: readonly number[]): Promise<void> {
    return this.#call('clear', { i_id: iId, plan, stage, tIds });
  }

  /**
   * Whether two results of one tile agree; null where the second is not what the plan expects of it. `moved`: what became
   * of the first where inputs differed in their last places.
   */
  agree(
    { plan, stage, t_id }: { readonly plan: string; readonly stage: number; readonly t_id: number },
    first: readonly WireRegion[],
    second: readonly WireRegion[],
    moved?: readonly WireRegion[],
  ): Promise<boolean | null> {
    return this.#call('agree', { plan, stage, t_id, first, second, moved });
  }

  /**
   * Decodes the network's outputs, or the tensor of an exit where the frame ends at one; with `tensors` also returns
   * them.
   */
  finish(iId: string, tensors: boolean, exit: string | null): Promise<FrameAnswer> {
    return this.#call('finish', { i_id: iId, tensors, exit });
  }

  release(iId: string): Promise<void> {
    return this.#call('release', iId);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    this.#wake();
    await this.#calls?.end();
  }

  #start(): void {
    this.#calls = new WorkerCalls(new Worker(workerEntry(import.meta.url, './data-plane-worker.ts')), (error) =>
      this.#ended(error),
    );
    this.#pause.succeeded();
    // In the order of the calls, so that calls that wait below find the model registered.
    for (const entry of this.#models.values()) this.#calls.call('model', entry).catch(() => {});
    for (const compiled of this.#plans()) this.#calls.call('plan', compiled).catch(() => {});
    this.#wake();
  }

  #ended(error: Error): void {
    this.#calls = undefined;
    if (this.#stopped) return;
    this.#restart = setTimeout(() => this.#start(), this.#pause.next(performance.now()));
    this.#onEnd(error);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #call<T>(method: string, args: unknown, transfer: readonly ArrayBuffer[] = []): Promise<T> {
    while (this.#calls === undefined && !this.#stopped)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#calls === undefined) throw new TesseraError('TESSERA_INTERNAL', 'central is stopping');
    return this.#calls.call(method, args, transfer);
  }
}
