import { decodeClipCodes, encodeClipCodes } from '../codec/clip.ts';
import { findCodec } from '../codec/codecs.ts';
import { type ClipSpec, codecText, sameCodec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { Model, ResolvedModel } from '../onnx/model.ts';
import type { RegionPlace, WireRegion } from '../protocol/messages/region.ts';
import {
  type Box,
  boxShape,
  byteLength,
  contains,
  copyBox,
  cropRegion,
  elementCount,
  overlaps,
  sameBox,
  type Tensor,
  type TensorSpec,
  wholeBox,
} from '../tensor/tensor.ts';
import { type Feed, feedTensor, type PartForm, type Region } from '../tiling/form.ts';
import { codesTensor } from '../tiling/quantised-io.ts';
import type { Job } from './executor-types.ts';
import type { FrameRegions } from './region-store.ts';
import { boxText, regionsText } from './region-text.ts';

/** One part of a job. */
export type JobPart = Job['tiles'][number];

/** What the parts of a stage have in common: types of tensors, and those that are sent as codes. */
export interface StageParts {
  readonly specs: ResolvedModel['specs'];
  /** Tensors that the models of the stage read and return as codes, a byte each. */
  readonly takes: ReadonlyMap<string, ClipSpec>;
  readonly gives: ReadonlyMap<string, ClipSpec>;
}

/** A request that contradicts the geometry that this node computed itself. */
export class BadInput extends Error {}

/** Regions that a part reads and that are not here. */
export class MissingInput extends Error {
  readonly regions: readonly RegionPlace[];

  constructor(regions: readonly RegionPlace[]) {
    super(`not here: ${regionsText(regions)}`);
    this.regions = regions;
  }
}

/** The type of a tensor. Throws TESSERA_PLAN_INVALID. */
export function specOf(specs: ResolvedModel['specs'], tensor: string): TensorSpec {
  const spec = specs.get(tensor);
  if (spec === undefined) throw new TesseraError('TESSERA_PLAN_INVALID', `the type of tensor "${tensor}" is not known`);
  return spec;
}

/** The name of a tensor's input or output of the stage's model. */
export function portOf(codes: ReadonlyMap<string, ClipSpec>, tensor: string): string {
  return codes.has(tensor) ? codesTensor(tensor) : tensor;
}

/**
 * A request may leave out outputs, or parts of them, but it may not ask for more than the part makes, nor change how
 * outputs are clipped. Throws BadInput.
 */
export function checkOutputs(form: PartForm, tile: JobPart, { gives }: StageParts): void {
  for (const asked of tile.out) {
    const made = form.out.find((region) => region.tensor === asked.tensor);
    if (made === undefined) throw new BadInput(`the stage does not make "${asked.tensor}"`);
    if (made.open === true ? !sameBox(made.box, asked.box) : !contains(made.box, asked.box))
      throw new BadInput(`"${asked.tensor}": [${boxText(asked.box)}] asked for, the plan gives [${boxText(made.box)}]`);
    if (findCodec(asked.codec.name) === undefined) throw new BadInput(`codec "${asked.codec.name}" is not known`);
    const clip = gives.get(asked.tensor);
    if (clip !== undefined && asked.codec.name !== 'raw' && !sameCodec(asked.codec, clip))
      throw new BadInput(
        `"${asked.tensor}": codec ${codecText(asked.codec)} asked for, the plan has ${codecText(clip)}`,
      );
  }
  if (tile.out.length === 0) throw new BadInput('no output is asked for');
}

/** A region that is there for a part, and the box that the part reads of it. */
interface Source {
  readonly box: Box;
  readonly region: WireRegion;
  /** It did not come with the request. */
  readonly isKept: boolean;
}

/** The regions of a request. Throws MissingInput where some are not here. */
export function findInputs(tile: JobPart, kept: FrameRegions): Source[] {
  const missing: RegionPlace[] = [];
  const sources = tile.in.flatMap((input): Source[] => {
    if ('d' in input) return [{ box: input.box, region: input, isKept: false }];
    const region = kept.find(input, 'from' in input ? input.from : undefined);
    if (region !== undefined) return [{ box: input.box, region, isKept: true }];
    missing.push({ tensor: input.tensor, box: input.box });
    return [];
  });
  if (missing.length > 0) throw new MissingInput(missing);
  return sources;
}

/**
 * The feeds of a part: each input is one region, or is pasted together of several that cover it exactly once. Throws
 * BadInput where they do not match the plan; MissingInput where a kept region cannot be read, which is then dropped.
 */
export function decodeInputs(
  form: PartForm,
  sources: readonly Source[],
  parts: StageParts,
  kept: FrameRegions,
): Map<string, Tensor> {
  const { specs, takes } = parts;
  const feeds = new Map<string, Tensor>();
  const decoded = ({ region, isKept }: Source): Tensor => {
    if (!isKept) return decodeRegion(region, parts);
    try {
      return decodeRegion(region, parts);
    } catch {
      kept.drop(region);
      throw new MissingInput([{ tensor: region.tensor, box: region.box }]);
    }
  };
  for (const needed of form.in) {
    const given = sources.filter(({ region }) => region.tensor === needed.tensor);
    if (given.length === 0) throw new BadInput(`input "${needed.tensor}" is missing`);
    checkCover(needed, given);
    const [first] = given;
    const port = portOf(takes, needed.tensor);
    if (sameBox(first!.region.box, needed.box)) {
      feeds.set(port, decoded(first!));
      continue;
    }
    const dtype = takes.has(needed.tensor) ? 'uint8' : specOf(specs, needed.tensor).dtype;
    const shape = boxShape(needed.box);
    const whole: Tensor = { dtype, shape, data: new Uint8Array(byteLength({ dtype, shape })) };
    for (const source of given) copyBox(decoded(source), source.region.box, whole, needed.box, source.box);
    feeds.set(port, whole);
  }
  return feeds;
}

/** Requires that the regions of an input cover it exactly once. */
function checkCover({ tensor, box: needed }: Region, given: readonly Source[]): void {
  let count = 0;
  const isExact = given.every(({ box }, k) => {
    count += elementCount(boxShape(box));
    return contains(needed, box) && !given.some((other, j) => j < k && overlaps(other.box, box));
  });
  if (isExact && count === elementCount(boxShape(needed))) return;
  const came = given.map(({ box }) => `[${boxText(box)}]`).join(' ');
  throw new BadInput(`input "${tensor}": ${came} came, the plan needs [${boxText(needed)}]`);
}

/** A region in the form in which the stage's model reads it. */
function decodeRegion(given: WireRegion, { specs, takes }: StageParts): Tensor {
  const { tensor } = given;
  const clip = takes.get(tensor);
  const areCodes = clip !== undefined && given.codec.name === 'raw';
  const dtype = areCodes ? 'uint8' : specOf(specs, tensor).dtype;
  const spec = { dtype, shape: boxShape(given.box) };
  if (given.dtype !== spec.dtype)
    throw new BadInput(`input "${tensor}": ${given.dtype} came, the model needs ${spec.dtype}`);
  if (given.shape.length !== spec.shape.length || given.shape.some((size, axis) => size !== spec.shape[axis]))
    throw new BadInput(`input "${tensor}": shape [${given.shape}] came, the box has [${spec.shape}]`);
  const codec = findCodec(given.codec.name);
  if (codec === undefined) throw new BadInput(`codec "${given.codec.name}" is not known`);
  if (clip === undefined || areCodes) return { ...spec, data: codec.decode(given.d, spec, given.codec) };
  if (!sameCodec(given.codec, clip))
    throw new BadInput(`input "${tensor}": codec ${codecText(given.codec)} came, the plan has ${codecText(clip)}`);
  return { dtype: 'uint8', shape: spec.shape, data: decodeClipCodes(given.d, elementCount(spec.shape), clip) };
}

/** Adds a part's geometry, and zeros for inputs of which it needs nothing: ONNX Runtime requires every input. */
export function addFeeds(feeds: Map<string, Tensor>, extra: readonly Feed[], inputs: Model['graph']['inputs']): void {
  for (const feed of extra) feeds.set(feed.name, feedTensor(feed));
  for (const { name, dtype, shape } of inputs) {
    if (feeds.has(name) || dtype === 'other') continue;
    const spec = { dtype, shape: (shape ?? []).map((size) => (typeof size === 'number' ? size : 1)) };
    feeds.set(name, { ...spec, data: new Uint8Array(byteLength(spec)) });
  }
}

/** The model's result for a region. A region of unknown shape accepts any. */
export function expectShape({ tensor, box, open }: Region, result: Tensor | undefined): Tensor {
  if (result === undefined) throw new TesseraError('TESSERA_RUN_FAILED', `the stage's model does not make "${tensor}"`);
  const shape = boxShape(box);
  const fits = result.shape.length === shape.length && result.shape.every((size, axis) => size === shape[axis]);
  if (open === true || fits) return result;
  throw new TesseraError(
    'TESSERA_RUN_FAILED',
    `"${tensor}": the stage's model makes [${result.shape}] where the plan expects [${shape}]`,
  );
}

/**
 * Encodes a result of the stage's model, or a box of it. Codes are sent as the clipped tensor that they stand for; if raw
 * is requested they are sent as bytes (between central and its own executor, which need no coding).
 */
export function encodeOutput(
  { tensor, box: asked, codec }: Pick<JobPart['out'][number], 'tensor' | 'box' | 'codec'>,
  form: PartForm,
  { gives }: StageParts,
  results: ReadonlyMap<string, Tensor>,
): WireRegion {
  const made = form.out.find((region) => region.tensor === tensor)!;
  const result = expectShape(made, results.get(portOf(gives, tensor)));
  const { dtype } = result;
  const given = made.open === true ? wholeBox(result.shape) : asked;
  const box = given.map(([start, end]): [number, number] => [start, end]);
  const shape = boxShape(box);
  const isWhole = made.open === true || sameBox(made.box, asked);
  const data = isWhole ? result.data : cropRegion(result, made.box, asked);
  const region = { tensor, box, shape, codec };
  const clip = gives.get(tensor);
  if (clip !== undefined && codec.name !== 'raw')
    return { ...region, dtype: 'float32', d: encodeClipCodes(data, clip) };
  return { ...region, dtype, d: findCodec(codec.name)!.encode(data, { dtype, shape }, codec) };
}

/**
 * A result in the form in which this node keeps it: as it is where its codec loses nothing, as codes where the plan keeps
 * codes, else encoded, so that its readers here get the same values as those that it is sent to.
 */
export function keptOutput(
  asked: JobPart['out'][number],
  form: PartForm,
  parts: StageParts,
  results: ReadonlyMap<string, Tensor>,
): WireRegion {
  const { tensor, codec } = asked;
  const isPlain = parts.gives.has(tensor) ? parts.takes.has(tensor) : findCodec(codec.name)!.lossless;
  return encodeOutput(isPlain ? { ...asked, codec: { name: 'raw' } } : asked, form, parts, results);
}
