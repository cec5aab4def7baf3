import { clipCodes, decodeClipCodes, encodeClipCodes, valuesOf, zeroCode } from '../../shared/codec/clip.ts';
import { type CodecSpec, findCodec } from '../../shared/codec/codec.ts';
import { bytesOf } from '../../shared/codec/floats.ts';
import { sameCodec } from '../../shared/codec/spec.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { PlanGeometry } from '../../shared/plan/compiled-plan.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import {
  type Box,
  boxShape,
  byteLength,
  crop,
  elementCount,
  paste,
  sameBox,
  type Tensor,
  wholeBox,
} from '../../shared/tensor/tensor.ts';
import { agree } from './agree.ts';

/** One tile of a work message. */
export interface PackedTile {
  readonly t_id: number;
  readonly in: WireRegion[];
  readonly out: { tensor: string; box: [number, number][]; codec: CodecSpec }[];
}

const RAW: CodecSpec = { name: 'raw' };

/** A box as the wire has it. */
function wireBox(box: Box): [number, number][] {
  return box.map(([start, end]) => [start, end]);
}

/** An output whose shape the run that made it tells. Throws TESSERA_MESSAGE_INVALID where it is not whole and as it is. */
function openTensor(tId: number, name: string, given: WireRegion | undefined): Tensor {
  const isWhole = given !== undefined && sameBox(given.box, wholeBox(given.shape)) && given.codec.name === RAW.name;
  if (!isWhole || given.d.byteLength !== byteLength(given))
    throw new TesseraError('TESSERA_MESSAGE_INVALID', `tile ${tId}: output "${name}" is not whole`);
  return { dtype: given.dtype, shape: given.shape, data: given.d };
}

/**
 * The tensors of the frames under way. Pure bookkeeping over bytes; lives in the data-plane worker.
 *
 * Invariants: (1) a tensor is allocated once per frame, zeroed, at its full size, or taken as it
 * comes where only a run tells its shape; (2) a region is pasted only where
 * the plan says that this tile's output lies; (3) `bytes` is the sum of all tensors held.
 */
export class FrameStore {
  readonly #frames = new Map<string, Map<string, Tensor>>();
  bytes = 0;

  /** Opens a frame with the tensors it is born with. */
  open(iId: string, born: ReadonlyMap<string, Tensor>): void {
    this.release(iId);
    this.#frames.set(iId, new Map(born));
    for (const tensor of born.values()) this.bytes += tensor.data.byteLength;
  }

  has(iId: string): boolean {
    return this.#frames.has(iId);
  }

  /** The tensor, allocated as zeros where nothing has been pasted yet; undefined for a frame that has ended. */
  tensor(iId: string, name: string, geometry: PlanGeometry): Tensor | undefined {
    const frame = this.#frames.get(iId);
    if (frame === undefined) return undefined;
    const held = frame.get(name);
    if (held !== undefined) return held;
    const spec = geometry.specs.get(name);
    if (spec === undefined)
      throw new TesseraError(
        'TESSERA_DEADLINE',
        `"${name}" was not made in time, and only the run that makes it tells its shape`,
      );
    const clip = geometry.quantised.get(name);
    const { shape } = spec;
    const dtype = clip === undefined ? spec.dtype : 'uint8';
    const tensor: Tensor = { dtype, shape, data: new Uint8Array(byteLength({ dtype, shape })) };
    if (clip !== undefined) tensor.data.fill(zeroCode(clip));
    frame.set(name, tensor);
    this.bytes += tensor.data.byteLength;
    return tensor;
  }

  /**
   * Cuts the inputs of tiles out of the frame's tensors; undefined for a frame that has ended. `own`: for the executor
   * in this process, to which codes go and from which they come as they are.
   */
  pack(
    iId: string,
    geometry: PlanGeometry,
    stage: number,
    tIds: readonly number[],
    own = false,
  ): PackedTile[] | undefined {
    if (!this.#frames.has(iId)) return undefined;
    return tIds.map((tId) => {
      const tile = geometry.stages[stage]!.parts[tId]!;
      return {
        t_id: tId,
        in: tile.in.map(({ tensor: name, box }) => {
          const tensor = this.tensor(iId, name, geometry)!;
          const region = { tensor: name, box: wireBox(box), shape: boxShape(box) };
          const d = crop(tensor, box);
          const clip = geometry.quantised.get(name);
          if (clip === undefined || own) return { ...region, dtype: tensor.dtype, codec: RAW, d };
          return { ...region, dtype: geometry.specs.get(name)!.dtype, codec: clip, d: encodeClipCodes(d, clip) };
        }),
        out: tile.out.map(({ tensor, box, codec }) => ({
          tensor,
          box: wireBox(box),
          codec: own && geometry.quantised.has(tensor) ? RAW : codec,
        })),
      };
    });
  }

  /** Puts a tile's results in their place. Throws TesseraError when they are not what the plan expects of this tile. */
  paste(iId: string, geometry: PlanGeometry, stage: number, tId: number, out: readonly WireRegion[]): void {
    if (!this.#frames.has(iId)) return;
    const expected = geometry.stages[stage]!.parts[tId]!.out;
    // All regions are decoded before the first is pasted: a bad one must leave nothing behind.
    const decoded = this.decode(geometry, stage, tId, out);
    expected.forEach((region, i) => {
      if (region.open === true) this.#set(iId, region.tensor, decoded[i]!);
      else paste(this.tensor(iId, region.tensor, geometry)!, region.box, decoded[i]!.data);
    });
  }

  /**
   * Whether two results of one tile agree; null where the second is not what the plan expects of it. `moved`: what became
   * of the first where inputs differed in their last places.
   */
  agree(
    geometry: PlanGeometry,
    stage: number,
    tId: number,
    first: readonly WireRegion[],
    second: readonly WireRegion[],
    moved?: readonly WireRegion[],
  ): boolean | null {
    const a = this.decode(geometry, stage, tId, first);
    const near = moved === undefined ? undefined : this.decode(geometry, stage, tId, moved);
    let b: Tensor[];
    try {
      b = this.decode(geometry, stage, tId, second);
    } catch {
      return null;
    }
    return geometry.stages[stage]!.parts[tId]!.out.every(({ tensor, codec, open }, k) => {
      // How large it is may hang on how a processor rounds.
      if (open === true) return true;
      // Codes are compared as what they stand for.
      const clip = geometry.quantised.get(tensor);
      const values = clip === undefined ? undefined : valuesOf(clip);
      const of = (held: Tensor): Tensor =>
        values === undefined
          ? held
          : { ...held, dtype: 'float32', data: bytesOf(Float32Array.from(held.data, (code) => values[code]!)) };
      const other = near === undefined ? undefined : of(near[k]!);
      return agree(of(a[k]!), of(b[k]!), clip ?? codec, geometry.rounding, other);
    });
  }

  /** Makes the outputs of tiles zeros again; some may have been pasted and found to be wrong. */
  clear(iId: string, geometry: PlanGeometry, stage: number, tIds: readonly number[]): void {
    for (const tId of tIds)
      for (const { tensor: name, box, open } of geometry.stages[stage]!.parts[tId]!.out) {
        if (open === true) continue;
        const tensor = this.tensor(iId, name, geometry);
        if (tensor === undefined) return;
        const clip = geometry.quantised.get(name);
        const zeros = new Uint8Array(byteLength({ dtype: tensor.dtype, shape: boxShape(box) }));
        paste(tensor, box, clip === undefined ? zeros : zeros.fill(zeroCode(clip)));
      }
  }

  /**
   * A tile's outputs in the order of the plan, as they are held. Throws TesseraError when they are not what the plan
   * expects of this tile.
   */
  decode(geometry: PlanGeometry, stage: number, tId: number, out: readonly WireRegion[]): Tensor[] {
    const expected = geometry.stages[stage]!.parts[tId]!.out;
    if (out.length !== expected.length)
      throw new TesseraError(
        'TESSERA_MESSAGE_INVALID',
        `tile ${tId} has ${out.length} outputs, not ${expected.length}`,
      );
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
        // A node that cannot encode may send the bytes as they are, but none may lose more than the plan allows.
        (sameCodec(given.codec, region.codec) || given.codec.name === RAW.name) &&
        (given.dtype === dtype || (clip !== undefined && given.dtype === 'uint8' && given.codec.name === RAW.name));
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
      if (data.some((code) => code > most))
        throw new TesseraError('TESSERA_CODEC', `tile ${tId}: a code above ${most}`);
      return { dtype: 'uint8', shape, data };
    });
  }

  #set(iId: string, name: string, tensor: Tensor): void {
    const frame = this.#frames.get(iId)!;
    this.bytes += tensor.data.byteLength - (frame.get(name)?.data.byteLength ?? 0);
    frame.set(name, tensor);
  }

  release(iId: string): void {
    for (const tensor of this.#frames.get(iId)?.values() ?? []) this.bytes -= tensor.data.byteLength;
    this.#frames.delete(iId);
  }
}
