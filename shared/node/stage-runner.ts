import { createHash } from 'node:crypto';
import { decodeClipCodes, encodeClipCodes } from '../codec/clip.ts';
import { TesseraError } from '../errors.ts';
import type { Model, ResolvedModel } from '../onnx/model.ts';
import { readModel } from '../onnx/read.ts';
import { resolveModel } from '../onnx/resolve.ts';
import { compileStage } from '../plan/compile.ts';
import { keepsPart } from '../plan/own-parts.ts';
import type { Plan } from '../plan/plan.ts';
import type { BlobStore } from '../ports.ts';
import { isSha } from '../runtime/blob-store.ts';
import { type FirstFeed, firstFeed, firstRun } from '../runtime/first-feeds.ts';
import { loadSession, type Session } from '../runtime/ort.ts';
import { boxShape, type Dtype, type Tensor } from '../tensor/tensor.ts';
import type { PartForm } from '../tiling/form.ts';
import type { PartError, PartOutcome, StageRegions } from './executor-types.ts';
import { type FrameRegions, RegionStore } from './region-store.ts';
import type { RuntimeSettings } from './runtime-settings.ts';
import { SessionCache } from './session-cache.ts';
import {
  addFeeds,
  BadInput,
  checkOutputs,
  decodeInputs,
  encodeOutput,
  expectShape,
  findInputs,
  type JobPart,
  keptOutput,
  MissingInput,
  portOf,
  type StageParts,
  specOf,
} from './stage-part.ts';
import { type Piece, pieceOf, type WeightSlices, withWeights } from './stage-piece.ts';

/** A part of a prepared plan. */
interface LoadedPart {
  readonly form: PartForm;
  readonly piece: Piece;
}

/** A stage of a prepared plan, with the parts that this node keeps. */
interface LoadedStage extends StageParts {
  readonly skeleton: string;
  readonly parts: ReadonlyMap<number, LoadedPart>;
  /** Parts of which each has another model. */
  readonly pieces: readonly LoadedPart[];
}

/** Runs a step when nothing else runs. */
export type Turn = <T>(step: () => Promise<T>) => Promise<T>;

/** Compiled stages of a plan. */
interface Drafts {
  readonly plan: string;
  readonly skeleton: string;
  readonly stages: Map<number, LoadedStage>;
}

/** A graph without its large weights; the largest of the published networks has 2 MB. */
const MAX_SKELETON_BYTES = 256e6;
/**
 * Prepared plans and their sessions on one thread.
 *
 *   plan:    unknown --prepare--> prepared --release--> unknown
 *   session: absent --prepare, runPart--> cached --least recently used, over the memory limit--> absent
 *
 * 1. A plan is prepared only after every requested stage has run once, so that `runPart` has no unexpected failure.
 * 2. The key of a session is the bytes of its model: plans, grids and stages with the same model share one.
 * 3. `runPart` runs exactly the geometry that the plan gives a part, whatever the request says.
 * Calls must not overlap, except between the turns of `prepare`.
 */
export class StageRunner {
  readonly #node: string;
  readonly #store: BlobStore;
  readonly #threads: number;
  /** Of tuned models, by their skeleton. */
  readonly #settings: Map<string, RuntimeSettings>;
  readonly #sessions: SessionCache<Session>;
  readonly #plans = new Map<string, { readonly skeleton: string; readonly stages: Map<number, LoadedStage> }>();
  readonly #models = new Map<string, ResolvedModel>();
  /** Compiled stages of one plan that are not prepared yet: `weights` and `prepare` compile each stage once together. */
  #drafts: Drafts = { plan: '', skeleton: '', stages: new Map() };

  constructor(options: {
    node: string;
    store: BlobStore;
    threads: number;
    sessionMemoryMb: number;
    settings?: ReadonlyMap<string, RuntimeSettings>;
  }) {
    this.#node = options.node;
    this.#store = options.store;
    this.#threads = options.threads;
    this.#settings = new Map(options.settings);
    this.#sessions = new SessionCache(options.sessionMemoryMb * 1e6);
  }

  /** The weights that stages of a plan read, by their SHA-256. Only the skeleton has to be here. Throws TesseraError. */
  async weights(
    plan: Plan,
    stages: readonly number[],
    skeletonSha: string,
    slices: WeightSlices = [],
  ): Promise<string[]> {
    try {
      const read = new Set<string>();
      for (const id of stages)
        for (const { piece } of (await this.#built(plan, id, skeletonSha, slices)).pieces)
          for (const sha of piece.weights) read.add(sha);
      return [...read];
    } finally {
      this.#dropModels();
    }
  }

  /**
   * Prepares stages of a plan; those that are ready are skipped. Returns what their parts read and make. Throws
   * TesseraError and then changes nothing. Each step takes its `turn`, so that parts of other plans need not wait for all of
   * them; other calls for this plan have to wait.
   */
  async prepare(
    plan: Plan,
    stages: readonly number[],
    skeletonSha: string,
    slices: WeightSlices = [],
    turn: Turn = (step) => step(),
  ): Promise<ReadonlyMap<number, StageRegions>> {
    const ready = new Map(this.#plans.get(plan.id)?.stages);
    try {
      for (const id of stages) {
        if (ready.has(id)) continue;
        const loaded = await turn(() => this.#built(plan, id, skeletonSha, slices));
        for (const part of loaded.pieces) {
          await turn(() => this.#session(loaded, part.piece));
          await turn(() => this.#runOnce(loaded, part));
        }
        ready.set(id, loaded);
      }
      this.#plans.set(plan.id, { skeleton: skeletonSha, stages: ready });
      if (this.#drafts.plan === plan.id) for (const id of stages) this.#drafts.stages.delete(id);
      return new Map(stages.map((id) => [id, regionsOf(ready.get(id)!)]));
    } finally {
      this.#dropModels();
    }
  }

  /** Forgets a plan. Its sessions stay until their memory is needed, since the next plan often shares them. */
  release(plan: string): void {
    this.#plans.delete(plan);
    if (this.#drafts.plan === plan) this.#drafts = { plan: '', skeleton: '', stages: new Map() };
    this.#dropModels();
  }

  /** Runs one part with the kept regions of its frame. Never throws: a failure is its outcome. */
  async runPart(
    plan: string,
    stage: number,
    tile: JobPart,
    kept: FrameRegions = new RegionStore().of(''),
  ): Promise<PartOutcome> {
    const failed = (code: PartError['code'], text: string, more: Pick<PartError, 'regions'> = {}): PartOutcome => ({
      t_id: tile.t_id,
      error: { code, text: text.slice(0, 1000), ...more },
    });
    const loaded = this.#plans.get(plan)?.stages.get(stage);
    if (loaded === undefined) return failed('unknown-plan', `stage ${stage} of plan ${plan} is not prepared here`);
    try {
      const part = loaded.parts.get(tile.t_id);
      if (part === undefined) throw new BadInput(`stage ${stage} has no tile ${tile.t_id} here`);
      const { form, piece } = part;
      const session = await this.#session(loaded, piece);
      const started = performance.now();
      checkOutputs(form, tile, loaded);
      const feeds = decodeInputs(form, findInputs(tile, kept), loaded, kept);
      addFeeds(feeds, form.feeds, piece.inputs);
      const wanted = tile.out.map((region) => portOf(loaded.gives, region.tensor));
      const results = await session.run(feeds, wanted);
      const out = tile.out
        .filter(({ keep }) => keep !== 'only')
        .map((region) => encodeOutput(region, form, loaded, results));
      const moving = new Set(out.map(({ d }) => d.buffer));
      for (const asked of tile.out) {
        if (asked.keep === undefined) continue;
        const region = keptOutput(asked, form, loaded, results);
        kept.keep(moving.has(region.d.buffer) ? { ...region, d: region.d.slice() } : region);
      }
      return { t_id: tile.t_id, out, compute_ms: performance.now() - started };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (error instanceof MissingInput) return failed('missing-input', text, { regions: [...error.regions] });
      if (error instanceof BadInput) return failed('bad-input', text);
      if (error instanceof TesseraError && error.code === 'TESSERA_CODEC') return failed('bad-input', text);
      return failed(/bad_alloc|allocat|out of memory/i.test(text) ? 'out-of-memory' : 'run-failed', text);
    }
  }

  /**
   * A run of a prepared stage's first part on made-up inputs, which returns its time, ms; with these settings, or those of
   * its model. Throws TESSERA_RUN_FAILED where the stage is not prepared or cannot run.
   */
  async measuredRun(plan: string, stage: number, settings?: RuntimeSettings): Promise<() => Promise<number>> {
    const loaded = this.#plans.get(plan)?.stages.get(stage);
    const part = loaded?.pieces[0];
    if (loaded === undefined || part === undefined)
      throw new TesseraError('TESSERA_RUN_FAILED', `stage ${stage} of plan ${plan} is not prepared here`);
    const wanted = wantedOf(loaded, part.form);
    // Zeros are the last choice: the memory of a tensor of zeros may be one page, which is read faster than others.
    let feeds = madeUpFeeds(loaded, part, 'noise');
    await (await this.#session(loaded, part.piece, settings)).run(feeds, wanted).catch(() => {
      feeds = madeUpFeeds(loaded, part, 'zeros');
    });
    return async () => {
      const session = await this.#session(loaded, part.piece, settings);
      const started = performance.now();
      await session.run(feeds, wanted);
      return performance.now() - started;
    };
  }

  async stop(): Promise<void> {
    this.#plans.clear();
    this.#models.clear();
    await this.#sessions.clear();
  }

  /** From now on parts of a model run with these settings; sessions that are loaded stay until their memory is needed. */
  use(skeleton: string, settings: RuntimeSettings): void {
    this.#settings.set(skeleton, settings);
  }

  #session(
    { skeleton }: LoadedStage,
    { key, bytes, model }: Piece,
    settings = this.#settings.get(skeleton),
  ): Promise<Session> {
    const own = settings === undefined ? key : `${key} ${JSON.stringify(settings)}`;
    return this.#sessions.get(own, bytes, () =>
      loadSession(model, { threads: this.#threads, ...settings, dataFolder: this.#store.folder }),
    );
  }

  async #built(plan: Plan, id: number, skeletonSha: string, slices: WeightSlices): Promise<LoadedStage> {
    if (this.#drafts.plan !== plan.id) this.#drafts = { plan: plan.id, skeleton: skeletonSha, stages: new Map() };
    const { stages } = this.#drafts;
    const draft = stages.get(id) ?? (await this.#build(plan, id, skeletonSha, slices));
    stages.set(id, draft);
    return draft;
  }

  async #build(plan: Plan, id: number, skeletonSha: string, slices: WeightSlices): Promise<LoadedStage> {
    const stage = plan.stages.find((candidate) => candidate.id === id);
    if (stage === undefined) throw new TesseraError('TESSERA_PLAN_INVALID', `plan ${plan.id} has no stage ${id}`);
    const resolved = await this.#model(skeletonSha);
    const { parts, takes, gives } = compileStage(plan, stage, resolved);
    const pieces = new Map<Model, Piece>();
    const own = parts.filter(({ t_id }) => keepsPart(stage, t_id, this.#node));
    const loaded = own.map((form): [number, LoadedPart] => {
      const piece = pieces.get(form.model) ?? pieceOf(withWeights(form, resolved, slices), sha256);
      pieces.set(form.model, piece);
      return [form.t_id, { form, piece }];
    });
    const firsts = [...pieces.values()].map((piece) => loaded.find(([, part]) => part.piece === piece)![1]);
    return { skeleton: skeletonSha, parts: new Map(loaded), pieces: firsts, specs: resolved.specs, takes, gives };
  }

  async #model(skeletonSha: string): Promise<ResolvedModel> {
    const known = this.#models.get(skeletonSha);
    if (known !== undefined) return known;
    const size = await this.#store.size(skeletonSha);
    if (size === undefined) throw new TesseraError('TESSERA_BLOB', `the skeleton ${skeletonSha} is not here`);
    if (size > MAX_SKELETON_BYTES)
      throw new TesseraError('TESSERA_BLOB', `the skeleton has ${size} bytes, at most ${MAX_SKELETON_BYTES} are read`);
    const resolved = resolveModel(readModel(await this.#store.read(skeletonSha, 0, size)));
    for (const { name, data } of resolved.model.graph.initializers.values())
      if (data.kind === 'external' && !isSha(data.location))
        throw new TesseraError('TESSERA_BLOB', `the weights of "${name}" lie in "${data.location}", which is no blob`);
    this.#models.set(skeletonSha, resolved);
    return resolved;
  }

  /** Removes the graphs of models that neither a prepared plan nor a draft uses. */
  #dropModels(): void {
    const used = new Set([...this.#plans.values(), this.#drafts].map(({ skeleton }) => skeleton));
    for (const sha of this.#models.keys()) if (!used.has(sha)) this.#models.delete(sha);
  }

  async #runOnce(stage: LoadedStage, part: LoadedPart): Promise<void> {
    const { form: first } = part;
    const session = await this.#session(stage, part.piece);
    const wanted = wantedOf(stage, first);
    const results = await firstRun((kind) => session.run(madeUpFeeds(stage, part, kind), wanted));
    for (const region of first.out) {
      const { tensor } = region;
      const { data } = expectShape(region, results.get(portOf(stage.gives, tensor)));
      const clip = stage.gives.get(tensor);
      // The coder builds its tables at first use: that should not delay a frame.
      if (clip !== undefined) decodeClipCodes(encodeClipCodes(data, clip), data.length, clip);
    }
  }
}

function wantedOf(stage: LoadedStage, { out }: PartForm): string[] {
  return out.map((region) => portOf(stage.gives, region.tensor));
}

/** Inputs of a part for a run whose results nobody uses. Codes are zeros: others may not be codes. */
function madeUpFeeds(stage: LoadedStage, { form, piece }: LoadedPart, kind: FirstFeed): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  for (const { tensor, box } of form.in) {
    const isCoded = stage.takes.has(tensor);
    const dtype = isCoded ? 'uint8' : specOf(stage.specs, tensor).dtype;
    feeds.set(portOf(stage.takes, tensor), firstFeed({ dtype, shape: boxShape(box) }, isCoded ? 'zeros' : kind));
  }
  addFeeds(feeds, form.feeds, piece.inputs);
  return feeds;
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function regionsOf({ parts, specs, takes }: LoadedStage): StageRegions {
  const tensors = new Map<string, { dtype: Dtype; areCodes: boolean }>();
  for (const { form } of parts.values())
    for (const { tensor, open } of [...form.in, ...form.out])
      if (open !== true) tensors.set(tensor, { dtype: specOf(specs, tensor).dtype, areCodes: takes.has(tensor) });
  return { parts: new Map([...parts].map(([id, { form }]) => [id, { in: form.in, out: form.out }])), tensors };
}
