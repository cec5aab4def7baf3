import { encodeClipCodes, zeroCode } from '../codec/clip.ts';
import type { CodecSpec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { PlanGeometry } from '../plan/compiled-plan.ts';
import { CENTRAL } from '../plan/plan.ts';
import type { WireRegion } from '../protocol/messages/region.ts';
import type { WorkInput } from '../protocol/messages/work.ts';
import { type Box, boxShape, byteLength, crop, paste, sameBox, type Tensor } from '../tensor/tensor.ts';
import { decodeOutputs, expectedOutputs } from './part-outputs.ts';

/** One part of a work message. */
export interface PackedPart {
  readonly t_id: number;
  readonly in: WireRegion[];
  readonly out: { tensor: string; box: [number, number][]; codec: CodecSpec; to: string[] }[];
}

/** One part of a work message of which some regions are at nodes, or stay there. */
export interface StraightPart extends Omit<PackedPart, 'in'> {
  readonly in: WorkInput[];
}

/** Which way the regions of a part go: `in` names those that it reads of earlier parts; `held` or `from` are not packed. */
export interface PackedWay {
  readonly t_id: number;
  readonly in: readonly { readonly tensor: string; readonly box: Box; readonly held?: true; readonly from?: string }[];
  readonly out: readonly { readonly tensor: string; readonly box: Box; readonly to: readonly string[] }[];
}

const RAW: CodecSpec = { name: 'raw' };

/** A box in the form of the wire. */
export function wireBox(box: Box): [number, number][] {
  return box.map(([start, end]) => [start, end]);
}

/**
 * The tensors of open frames. Pure bookkeeping over bytes, used in the data-plane worker.
 * Invariants: (1) a tensor is allocated once per frame, as zeros, at its full size, or taken as it arrives where its
 * shape is only known after the run; (2) a region is pasted only where the plan says that this part's output lies;
 * (3) what was encoded of a tensor is forgotten as soon as the tensor changes.
 */
export class TensorStore {
  readonly #frames = new Map<string, Map<string, Tensor>>();
  /** Of each tensor of codes the region that was encoded last: each slice of a dense layer reads the same. */
  readonly #encoded = new WeakMap<Tensor, { readonly box: Box; readonly d: Uint8Array }>();

  /** Opens a frame with its initial tensors. */
  open(iId: string, born: ReadonlyMap<string, Tensor>): void {
    this.release(iId);
    this.#frames.set(iId, new Map(born));
  }

  /** Adds a tensor to an open frame. */
  add(iId: string, name: string, tensor: Tensor): void {
    this.#frames.get(iId)?.set(name, tensor);
  }

  /** The tensor, allocated as zeros where no region has been pasted yet; undefined for a frame that has ended. */
  tensor(iId: string, name: string, geometry: PlanGeometry): Tensor | undefined {
    const frame = this.#frames.get(iId);
    if (frame === undefined) return undefined;
    const known = frame.get(name);
    if (known !== undefined) return known;
    const spec = geometry.specs.get(name);
    if (spec === undefined)
      throw new TesseraError(
        'TESSERA_DEADLINE',
        `"${name}" was not made in time, and its shape is only known after the run that makes it`,
      );
    const clip = geometry.quantised.get(name);
    const { shape } = spec;
    const dtype = clip === undefined ? spec.dtype : 'uint8';
    const tensor: Tensor = { dtype, shape, data: new Uint8Array(byteLength({ dtype, shape })) };
    if (clip !== undefined) tensor.data.fill(zeroCode(clip));
    frame.set(name, tensor);
    return tensor;
  }

  /**
   * Cuts the inputs of parts out of the frame's tensors; undefined for a frame that has ended. `own`: for the executor
   * in this process, which gets and returns codes unencoded. `without`: a tensor that the node has.
   */
  pack(
    iId: string,
    geometry: PlanGeometry,
    stage: number,
    tIds: readonly number[],
    own = false,
    without?: string,
  ): PackedPart[] | undefined {
    if (!this.#frames.has(iId)) return undefined;
    return tIds.map((tId) => {
      const tile = geometry.stages[stage]!.parts[tId]!;
      const inputs = tile.in.filter(({ tensor }) => tensor !== without);
      return {
        t_id: tId,
        in: inputs.map(({ tensor, box }) => this.#packed(iId, geometry, tensor, box, own)),
        out: tile.out.map(({ tensor, box, codec }) => ({
          tensor,
          box: wireBox(box),
          codec: own && geometry.quantised.has(tensor) ? RAW : codec,
          to: [CENTRAL],
        })),
      };
    });
  }

  /** The same for a part whose regions go other ways: only those are cut out that neither are held nor come from nodes. */
  packWay(
    iId: string,
    geometry: PlanGeometry,
    stage: number,
    way: PackedWay,
    without?: string,
  ): StraightPart | undefined {
    if (!this.#frames.has(iId)) return undefined;
    const tile = geometry.stages[stage]!.parts[way.t_id]!;
    const isPacked = ({ held, from }: PackedWay['in'][number]): boolean => held === undefined && from === undefined;
    return {
      t_id: way.t_id,
      in: tile.in.flatMap(({ tensor, box }): WorkInput[] => {
        if (tensor === without) return [];
        const sources = way.in.filter((source) => source.tensor === tensor);
        if (sources.every(isPacked)) return [this.#packed(iId, geometry, tensor, box, false)];
        return sources.map((source) => {
          if (isPacked(source)) return this.#packed(iId, geometry, tensor, source.box, false);
          const place = { tensor, box: wireBox(source.box) };
          return source.from === undefined ? { ...place, held: true } : { ...place, from: source.from };
        });
      }),
      out: way.out.map(({ tensor, box, to }) => ({
        tensor,
        box: wireBox(box),
        codec: tile.out.find((made) => made.tensor === tensor)!.codec,
        to: [...to],
      })),
    };
  }

  #packed(iId: string, geometry: PlanGeometry, name: string, box: Box, own: boolean): WireRegion {
    const tensor = this.tensor(iId, name, geometry)!;
    const region = { tensor: name, box: wireBox(box), shape: boxShape(box) };
    const clip = geometry.quantised.get(name);
    if (clip === undefined || own) return { ...region, dtype: tensor.dtype, codec: RAW, d: crop(tensor, box) };
    let encoded = this.#encoded.get(tensor);
    if (encoded === undefined || !sameBox(encoded.box, box)) {
      encoded = { box, d: encodeClipCodes(crop(tensor, box), clip) };
      this.#encoded.set(tensor, encoded);
    }
    // A message's buffer is given away.
    return { ...region, dtype: geometry.specs.get(name)!.dtype, codec: clip, d: encoded.d.slice() };
  }

  /** Pastes a region into a tensor. */
  #paste(tensor: Tensor, box: Box, data: Uint8Array): void {
    this.#encoded.delete(tensor);
    paste(tensor, box, data);
  }

  /** Pastes results of a part, of all its outputs or of those named. Throws TesseraError when they do not match the plan. */
  paste(
    iId: string,
    geometry: PlanGeometry,
    stage: number,
    tId: number,
    out: readonly WireRegion[],
    tensors?: readonly string[],
  ): void {
    const frame = this.#frames.get(iId);
    if (frame === undefined) return;
    const expected = expectedOutputs(geometry, stage, tId, tensors);
    // All regions are decoded before the first is pasted, so that a bad one leaves nothing behind.
    const decoded = decodeOutputs(geometry, stage, tId, out, tensors);
    expected.forEach((region, i) => {
      if (region.open === true) frame.set(region.tensor, decoded[i]!);
      else this.#paste(this.tensor(iId, region.tensor, geometry)!, region.box, decoded[i]!.data);
    });
  }

  /** Sets the outputs of parts to zeros again; some may have been pasted and then found to be wrong. */
  clear(iId: string, geometry: PlanGeometry, stage: number, tIds: readonly number[]): void {
    for (const tId of tIds)
      for (const { tensor: name, box, open } of geometry.stages[stage]!.parts[tId]!.out) {
        if (open === true) continue;
        const tensor = this.tensor(iId, name, geometry);
        if (tensor === undefined) return;
        const clip = geometry.quantised.get(name);
        const zeros = new Uint8Array(byteLength({ dtype: tensor.dtype, shape: boxShape(box) }));
        this.#paste(tensor, box, clip === undefined ? zeros : zeros.fill(zeroCode(clip)));
      }
  }

  release(iId: string): void {
    this.#frames.delete(iId);
  }
}
