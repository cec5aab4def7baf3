import { decodeClipCodes, encodeClipCodes } from '../codec/clip.ts';
import { findCodec } from '../codec/codecs.ts';
import { type ClipSpec, codecText, sameCodec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { Model, ResolvedModel } from '../onnx/model.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import {
  boxShape,
  byteLength,
  elementCount,
  sameBox,
  type Tensor,
  type TensorSpec,
  wholeBox,
} from '../tensor/tensor.ts';
import { type Feed, feedTensor, type PartForm, type Region } from '../tiling/form.ts';
import { codesTensor } from '../tiling/quantised-io.ts';
import type { Job } from './executor-types.ts';

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

/** The type of a tensor. Throws TESSERA_PLAN_INVALID. */
export function specOf(specs: ResolvedModel['specs'], tensor: string): TensorSpec {
  const spec = specs.get(tensor);
  if (spec === undefined) throw new TesseraError('TESSERA_PLAN_INVALID', `the type of tensor "${tensor}" is not known`);
  return spec;
}

function describe(box: readonly (readonly [number, number])[]): string {
  return box.map(([start, end]) => `${start}:${end}`).join(',');
}

/** The name of a tensor's input or output of the stage's model. */
export function portOf(codes: ReadonlyMap<string, ClipSpec>, tensor: string): string {
  return codes.has(tensor) ? codesTensor(tensor) : tensor;
}

/**
 * A request may leave out outputs that are not needed, but it may not change their boxes or their clipping. Throws
 * BadInput.
 */
export function checkOutputs(form: PartForm, tile: JobPart, { gives }: StageParts): void {
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

/** The feeds in a request. Throws BadInput where they do not match the plan. */
export function decodeInputs(form: PartForm, tile: JobPart, { specs, takes }: StageParts): Map<string, Tensor> {
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
      feeds.set(codesTensor(needed.tensor), { dtype: 'uint8', shape: spec.shape, data });
    }
  }
  return feeds;
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
 * Encodes a result of the stage's model. Codes are sent as the clipped tensor that they stand for; if raw is requested
 * they are sent as bytes (between central and its own executor, which need no coding).
 */
export function encodeOutput(
  { tensor, codec }: JobPart['out'][number],
  form: PartForm,
  { gives }: StageParts,
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
