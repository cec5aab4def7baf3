import { clipCodes, decodeClipCodes } from '../codec/clip.ts';
import { findCodec } from '../codec/codecs.ts';
import { sameCodec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { PartGeometry, PlanGeometry } from '../plan/compiled-plan.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import { boxShape, byteLength, elementCount, sameBox, type Tensor, wholeBox } from '../tensor/tensor.ts';

/** A part's outputs in the order of the plan: all of them, or those named. */
export function expectedOutputs(
  geometry: PlanGeometry,
  stage: number,
  tId: number,
  tensors?: readonly string[],
): PartGeometry['out'] {
  const { out } = geometry.stages[stage]!.parts[tId]!;
  return tensors === undefined ? out : out.filter(({ tensor }) => tensors.includes(tensor));
}

/**
 * What `expectedOutputs` names, in the form in which it is kept. Throws TesseraError when it does not match the plan.
 */
export function decodeOutputs(
  geometry: PlanGeometry,
  stage: number,
  tId: number,
  out: readonly WireRegion[],
  tensors?: readonly string[],
): Tensor[] {
  const expected = expectedOutputs(geometry, stage, tId, tensors);
  if (out.length !== expected.length)
    throw new TesseraError('TESSERA_MESSAGE_INVALID', `tile ${tId} has ${out.length} outputs, not ${expected.length}`);
  return expected.map((region) => {
    const given = out.find((candidate) => candidate.tensor === region.tensor);
    if (region.open === true) return openTensor(tId, region.tensor, given);
    const shape = boxShape(region.box);
    const { dtype } = geometry.specs.get(region.tensor)!;
    const clip = geometry.quantised.get(region.tensor);
    const isAsked =
      given !== undefined &&
      sameBox(given.box, region.box) &&
      given.shape.length === shape.length &&
      given.shape.every((size, axis) => size === shape[axis]) &&
      // A node that cannot encode may send the bytes raw, but no node may lose more than the plan allows.
      (sameCodec(given.codec, region.codec) || given.codec.name === 'raw') &&
      (given.dtype === dtype || (clip !== undefined && given.dtype === 'uint8' && given.codec.name === 'raw'));
    if (!isAsked)
      throw new TesseraError(
        'TESSERA_MESSAGE_INVALID',
        `tile ${tId}: output "${region.tensor}" is not the one asked for`,
      );
    if (clip !== undefined && given.codec.name === clip.name)
      return { dtype: 'uint8', shape, data: decodeClipCodes(given.d, elementCount(shape), clip) };
    const codec = findCodec(given.codec.name);
    if (codec === undefined) throw new TesseraError('TESSERA_CODEC', `unknown codec "${given.codec.name}"`);
    const data = codec.decode(given.d, { dtype: given.dtype, shape }, given.codec);
    if (clip === undefined) return { dtype, shape, data };
    if (given.dtype !== 'uint8') return { dtype: 'uint8', shape, data: clipCodes(data, clip) };
    const most = 2 ** clip.bits - 1;
    if (data.some((code) => code > most)) throw new TesseraError('TESSERA_CODEC', `tile ${tId}: a code above ${most}`);
    return { dtype: 'uint8', shape, data };
  });
}

/** An output whose shape is only known after the run. Throws TESSERA_MESSAGE_INVALID where it is not whole and raw. */
function openTensor(tId: number, name: string, given: WireRegion | undefined): Tensor {
  const isWhole = given !== undefined && sameBox(given.box, wholeBox(given.shape)) && given.codec.name === 'raw';
  if (!isWhole || given.d.byteLength !== byteLength(given))
    throw new TesseraError('TESSERA_MESSAGE_INVALID', `tile ${tId}: output "${name}" is not whole`);
  return { dtype: given.dtype, shape: given.shape, data: given.d };
}
