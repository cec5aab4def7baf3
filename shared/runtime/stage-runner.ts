import { createHash } from 'node:crypto';
import { decodeClipCodes, encodeClipCodes } from '../codec/clip.ts';
import { findCodec } from '../codec/codec.ts';
import { type ClipSpec, codecText, sameCodec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { Model, ResolvedModel } from '../onnx/model.ts';
import { readModel } from '../onnx/read.ts';
import { resolveModel } from '../onnx/resolve.ts';
import { writeModel } from '../onnx/write.ts';
import { clippedOutputs, heldCodes } from '../plan/held-codes.ts';
import type { Plan } from '../plan/plan.ts';
import type { BlobStore } from '../ports.ts';
import type { WireRegion } from '../protocol/messages.ts';
import {
  boxShape,
  byteLength,
  elementCount,
  sameBox,
  type Tensor,
  type TensorSpec,
  wholeBox,
} from '../tensor/tensor.ts';
import { codesPort, withCodePorts } from '../tiling/code-ports.ts';
import { type Feed, feedTensor, type Region, type TileForm } from '../tiling/form.ts';
import { buildStage } from '../tiling/stage.ts';
import { isSha } from './blob-store.ts';
import type { Job, TileOutcome } from './executor-types.ts';
import { firstFeed, firstRun } from './first-feeds.ts';
import { loadSession, type Session } from './ort.ts';
import { SessionCache } from './session-cache.ts';

/** One tile of a job. */
export type JobTile = Job['tiles'][number];

/** A stage of a prepared plan. `piece` is the ONNX model that the runtime runs, `bytes` its estimated memory. */
interface LoadedStage {
  readonly piece: Uint8Array;
  readonly key: string;
  readonly bytes: number;
  /** Blobs that the piece reads. */
  readonly weights: readonly string[];
  readonly tiles: ReadonlyMap<number, TileForm>;
  readonly specs: ResolvedModel['specs'];
  readonly inputs: Model['graph']['inputs'];
  /** Tensors that the piece takes and gives as codes, a byte each. */
  readonly takes: ReadonlyMap<string, ClipSpec>;
  readonly gives: ReadonlyMap<string, ClipSpec>;
}

/** A graph without its large weights; the largest of the published networks has 2 MB. */
const MAX_SKELETON_BYTES = 256e6;
/** What a session costs besides its weights: graph, kernels, arenas of activations. A guess on the safe side. */
const SESSION_OVERHEAD_BYTES = 2_000_000;

/** What a tile's request says against the geometry that this node computed itself. */
class BadInput extends Error {}

/**
 * Prepared plans and their sessions on one thread.
 *
 * plan:    unknown --prepare--> prepared --release--> unknown
 * session: absent --prepare, runTile--> held --least recently used, over the memory limit--> absent
 *
 * 1. A plan is prepared only after every stage asked for has run once, so `runTile` meets no surprise.
 * 2. Sessions are keyed by the bytes of the piece: plans, grids and stages with the same piece share one.
 * 3. `runTile` runs exactly the geometry that the plan gives a tile, whatever the request says.
 * Calls must not overlap.
 */
export class StageRunner {
  readonly #store: BlobStore;
  readonly #threads: number;
  readonly #sessions: SessionCache<Session>;
  readonly #plans = new Map<string, { readonly skeleton: string; readonly stages: Map<number, LoadedStage> }>();
  readonly #models = new Map<string, ResolvedModel>();
  /** Stages of the plan that was looked at last, so that asking for its weights makes loading it no longer. */
  #drafts: { readonly plan: string; readonly stages: Map<number, LoadedStage> } = { plan: '', stages: new Map() };

  constructor(options: { store: BlobStore; threads: number; sessionMemoryMb: number }) {
    this.#store = options.store;
    this.#threads = options.threads;
    this.#sessions = new SessionCache(options.sessionMemoryMb * 1e6);
  }

  /** The weights that stages of a plan read, by their SHA-256. Only the skeleton has to be here. Throws TesseraError. */
  async weights(plan: Plan, stages: readonly number[], skeletonSha: string): Promise<string[]> {
    try {
      const read = new Set<string>();
      for (const id of stages) for (const sha of (await this.#built(plan, id, skeletonSha)).weights) read.add(sha);
      return [...read];
    } finally {
      this.#dropModels();
    }
  }

  /** Makes stages of a plan ready; those that are ready already cost nothing. Throws TesseraError and then changes nothing. */
  async prepare(plan: Plan, stages: readonly number[], skeletonSha: string): Promise<void> {
    const known = this.#plans.get(plan.id);
    const ready = new Map(known?.stages);
    try {
      for (const id of stages) {
        if (ready.has(id)) continue;
        const loaded = await this.#built(plan, id, skeletonSha);
        await this.#warmUp(loaded);
        ready.set(id, loaded);
      }
      this.#plans.set(plan.id, { skeleton: skeletonSha, stages: ready });
      this.#drafts = { plan: '', stages: new Map() };
    } finally {
      this.#dropModels();
    }
  }

  /** Forgets a plan. Its sessions stay until their memory is wanted, since the next plan often shares them. */
  release(plan: string): void {
    this.#plans.delete(plan);
    if (this.#drafts.plan === plan) this.#drafts = { plan: '', stages: new Map() };
    this.#dropModels();
  }

  /** Runs one tile. Never throws: what goes wrong is the outcome. */
  async runTile(plan: string, stage: number, tile: JobTile): Promise<TileOutcome> {
    const failed = (
      code: 'unknown-plan' | 'bad-input' | 'out-of-memory' | 'run-failed',
      text: string,
    ): TileOutcome => ({
      t_id: tile.t_id,
      error: { code, text: text.slice(0, 1000) },
    });
    const loaded = this.#plans.get(plan)?.stages.get(stage);
    if (loaded === undefined) return failed('unknown-plan', `stage ${stage} of plan ${plan} is not prepared here`);
    try {
      const form = loaded.tiles.get(tile.t_id);
      if (form === undefined) throw new BadInput(`stage ${stage} has no tile ${tile.t_id}`);
      const session = await this.#session(loaded);
      const started = performance.now();
      checkOutputs(form, tile, loaded);
      const feeds = decodeInputs(form, tile, loaded);
      addFeeds(feeds, form.feeds, loaded.inputs);
      const wanted = tile.out.map((region) => portOf(loaded.gives, region.tensor));
      const results = await session.run(feeds, wanted);
      const out = tile.out.map((region) => encodeOutput(region, form, loaded, results));
      return { t_id: tile.t_id, out, compute_ms: performance.now() - started };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (error instanceof BadInput) return failed('bad-input', text);
      if (error instanceof TesseraError && error.code === 'TESSERA_CODEC') return failed('bad-input', text);
      return failed(/bad_alloc|allocat|out of memory/i.test(text) ? 'out-of-memory' : 'run-failed', text);
    }
  }

  async stop(): Promise<void> {
    this.#plans.clear();
    this.#models.clear();
    await this.#sessions.clear();
  }

  #session(stage: LoadedStage): Promise<Session> {
    return this.#sessions.get(stage.key, stage.bytes, () =>
      loadSession(stage.piece, { threads: this.#threads, dataFolder: this.#store.folder }),
    );
  }

  async #built(plan: Plan, id: number, skeletonSha: string): Promise<LoadedStage> {
    const drafts = this.#drafts.plan === plan.id ? this.#drafts : { plan: plan.id, stages: new Map() };
    this.#drafts = drafts;
    const draft = drafts.stages.get(id) ?? (await this.#build(plan, id, skeletonSha));
    drafts.stages.set(id, draft);
    return draft;
  }

  async #build(plan: Plan, id: number, skeletonSha: string): Promise<LoadedStage> {
    const stage = plan.stages.find((candidate) => candidate.id === id);
    if (stage === undefined) throw new TesseraError('TESSERA_PLAN_INVALID', `plan ${plan.id} has no stage ${id}`);
    const resolved = await this.#model(skeletonSha);
    const form = buildStage(resolved, stage);
    const outputs = resolved.model.graph.outputs.map(({ name }) => name);
    const takes = heldCodes(plan, outputs);
    const gives = clippedOutputs(stage);
    const model = withCodePorts(form.model, takes, gives);
    const piece = writeModel(model);
    return {
      piece,
      key: createHash('sha256').update(piece).digest('hex'),
      bytes: weightBytes(model) + SESSION_OVERHEAD_BYTES,
      weights: externalWeights(model),
      tiles: new Map(form.tiles.map((tile) => [tile.t_id, tile])),
      specs: resolved.specs,
      inputs: model.graph.inputs,
      takes,
      gives,
    };
  }

  async #model(skeletonSha: string): Promise<ResolvedModel> {
    const held = this.#models.get(skeletonSha);
    if (held !== undefined) return held;
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

  /** Graphs of models that no prepared plan cuts any more. */
  #dropModels(): void {
    const used = new Set([...this.#plans.values()].map((plan) => plan.skeleton));
    for (const sha of this.#models.keys()) if (!used.has(sha)) this.#models.delete(sha);
  }

  async #warmUp(stage: LoadedStage): Promise<void> {
    const session = await this.#session(stage);
    const first = stage.tiles.values().next().value;
    if (first === undefined) return;
    const wanted = first.out.map((region) => portOf(stage.gives, region.tensor));
    const results = await firstRun((kind) => {
      const feeds = new Map<string, Tensor>();
      for (const { tensor, box } of first.in) {
        const isCoded = stage.takes.has(tensor);
        const dtype = isCoded ? 'uint8' : specOf(stage.specs, tensor).dtype;
        feeds.set(portOf(stage.takes, tensor), firstFeed({ dtype, shape: boxShape(box) }, isCoded ? 'zeros' : kind));
      }
      addFeeds(feeds, first.feeds, stage.inputs);
      return session.run(feeds, wanted);
    });
    for (const region of first.out) {
      const { tensor } = region;
      const { data } = expectShape(region, results.get(portOf(stage.gives, tensor)));
      const clip = stage.gives.get(tensor);
      // The coder makes its tables when they are first wanted: not while a frame waits.
      if (clip !== undefined) decodeClipCodes(encodeClipCodes(data, clip), data.length, clip);
    }
  }
}

function weightBytes(model: Model): number {
  let sum = 0;
  for (const { data } of model.graph.initializers.values())
    sum += data.kind === 'inline' ? data.bytes.byteLength : data.length;
  return sum;
}

function externalWeights(model: Model): string[] {
  return [...model.graph.initializers.values()].flatMap(({ data }) =>
    data.kind === 'external' ? [data.location] : [],
  );
}

function specOf(specs: ResolvedModel['specs'], tensor: string): TensorSpec {
  const spec = specs.get(tensor);
  if (spec === undefined) throw new TesseraError('TESSERA_PLAN_INVALID', `the type of tensor "${tensor}" is not known`);
  return spec;
}

function describe(box: readonly (readonly [number, number])[]): string {
  return box.map(([start, end]) => `${start}:${end}`).join(',');
}

/** Where a tensor enters or leaves the piece. */
function portOf(codes: ReadonlyMap<string, ClipSpec>, tensor: string): string {
  return codes.has(tensor) ? codesPort(tensor) : tensor;
}

/** A request may leave out outputs that nobody needs, but it may not move them, nor have them clipped otherwise. */
function checkOutputs(form: TileForm, tile: JobTile, { gives }: LoadedStage): void {
  for (const asked of tile.out) {
    const made = form.out.find((region) => region.tensor === asked.tensor);
    if (made === undefined) throw new BadInput(`the stage does not make "${asked.tensor}"`);
    if (!sameBox(made.box, asked.box))
      throw new BadInput(
        `"${asked.tensor}": [${describe(asked.box)}] asked for, the plan gives [${describe(made.box)}]`,
      );
    if (findCodec(asked.codec.name) === undefined) throw new BadInput(`codec "${asked.codec.name}" is not known`);
    const clip = gives.get(asked.tensor);
    if (clip !== undefined && asked.codec.name !== 'raw' && !sameCodec(asked.codec, clip))
      throw new BadInput(
        `"${asked.tensor}": codec ${codecText(asked.codec)} asked for, the plan has ${codecText(clip)}`,
      );
  }
  if (tile.out.length === 0) throw new BadInput('no output is asked for');
}

function decodeInputs(form: TileForm, tile: JobTile, { specs, takes }: LoadedStage): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  for (const needed of form.in) {
    const given = tile.in.find((region) => region.tensor === needed.tensor);
    if (given === undefined) throw new BadInput(`input "${needed.tensor}" is missing`);
    const clip = takes.get(needed.tensor);
    const areCodes = clip !== undefined && given.codec.name === 'raw';
    const dtype = areCodes ? 'uint8' : specOf(specs, needed.tensor).dtype;
    const spec = { dtype, shape: boxShape(needed.box) };
    if (!sameBox(given.box, needed.box))
      throw new BadInput(
        `input "${needed.tensor}": [${describe(given.box)}] came, the plan needs [${describe(needed.box)}]`,
      );
    if (given.dtype !== spec.dtype)
      throw new BadInput(`input "${needed.tensor}": ${given.dtype} came, the model needs ${spec.dtype}`);
    if (given.shape.length !== spec.shape.length || given.shape.some((size, axis) => size !== spec.shape[axis]))
      throw new BadInput(`input "${needed.tensor}": shape [${given.shape}] came, the box has [${spec.shape}]`);
    const codec = findCodec(given.codec.name);
    if (codec === undefined) throw new BadInput(`codec "${given.codec.name}" is not known`);
    if (clip === undefined || areCodes)
      feeds.set(portOf(takes, needed.tensor), { ...spec, data: codec.decode(given.d, spec, given.codec) });
    else {
      if (!sameCodec(given.codec, clip))
        throw new BadInput(
          `input "${needed.tensor}": codec ${codecText(given.codec)} came, the plan has ${codecText(clip)}`,
        );
      const data = decodeClipCodes(given.d, elementCount(spec.shape), clip);
      feeds.set(codesPort(needed.tensor), { dtype: 'uint8', shape: spec.shape, data });
    }
  }
  return feeds;
}

/** Adds a tile's geometry, and zeros for inputs of which it needs nothing: the runtime wants every input to be fed. */
function addFeeds(feeds: Map<string, Tensor>, extra: readonly Feed[], inputs: LoadedStage['inputs']): void {
  for (const feed of extra) feeds.set(feed.name, feedTensor(feed));
  for (const { name, dtype, shape } of inputs) {
    if (feeds.has(name) || dtype === 'other') continue;
    const spec = { dtype, shape: (shape ?? []).map((size) => (typeof size === 'number' ? size : 1)) };
    feeds.set(name, { ...spec, data: new Uint8Array(byteLength(spec)) });
  }
}

/** What the piece made of a region. Whatever shape an open one has is right. */
function expectShape({ tensor, box, open }: Region, result: Tensor | undefined): Tensor {
  if (result === undefined) throw new TesseraError('TESSERA_RUN_FAILED', `the piece does not make "${tensor}"`);
  const shape = boxShape(box);
  const fits = result.shape.length === shape.length && result.shape.every((size, axis) => size === shape[axis]);
  if (open === true || fits) return result;
  throw new TesseraError(
    'TESSERA_RUN_FAILED',
    `"${tensor}": the piece makes [${result.shape}] where the plan expects [${shape}]`,
  );
}

/**
 * Encodes what the piece made. Codes travel as the clipped tensor that they stand for; asked for raw they travel as the
 * bytes that they are (between central and its own executor, which need no coding).
 */
function encodeOutput(
  { tensor, codec }: JobTile['out'][number],
  form: TileForm,
  { gives }: LoadedStage,
  results: ReadonlyMap<string, Tensor>,
): WireRegion {
  const made = form.out.find((region) => region.tensor === tensor)!;
  const { dtype, shape, data } = expectShape(made, results.get(portOf(gives, tensor)));
  const box = (made.open === true ? wholeBox(shape) : made.box).map(([start, end]): [number, number] => [start, end]);
  const region = { tensor, box, shape: [...shape], codec };
  const clip = gives.get(tensor);
  if (clip !== undefined && codec.name !== 'raw')
    return { ...region, dtype: 'float32', d: encodeClipCodes(data, clip) };
  return { ...region, dtype, d: findCodec(codec.name)!.encode(data, { dtype, shape }, codec) };
}
