import { decodeClipCodes, encodeClipCodes } from '../codec/clip.ts';
import { findCodec } from '../codec/codecs.ts';
import { type CodecSpec, sameCodec } from '../codec/spec.ts';
import { TesseraError } from '../errors.ts';
import type { RegionPlace, WireRegion } from '../protocol/messages/region.ts';
import { boxShape, contains, cropRegion, elementCount, sameBox, type Tensor } from '../tensor/tensor.ts';

/** Regions of one frame, as the parts of that frame see them. */
export interface FrameRegions {
  /** A region that contains the place and was made here, or sent by a node. */
  find(place: RegionPlace, from?: string): WireRegion | undefined;
  /** Keeps a region that was made here. */
  keep(region: WireRegion): void;
  /** Forgets a region. */
  drop(region: WireRegion): void;
}

interface Kept {
  /** The node that sent it; undefined: it was made or opened here. */
  readonly from: string | undefined;
  readonly region: WireRegion;
}

/** A region to send, and its codec on the way. */
export type AskedRegion = RegionPlace & { readonly codec: CodecSpec };

/**
 * The bytes of regions that outlive the part that made them or the message that brought them, in the executor's thread:
 * they are neither copied nor encoded until somebody reads them. Regions that were made here with a lossless codec are
 * kept as they are, and codes as codes (`dtype` uint8, codec raw); all others are kept encoded. Only region-index.ts knows
 * what is kept and bounds it; nothing is dropped here by itself.
 */
export class RegionStore {
  readonly #frames = new Map<string, Kept[]>();

  /** The regions of a frame. */
  of(iId: string): FrameRegions {
    return {
      find: (place, from) => this.#find(iId, place, from),
      keep: (region) => this.keep(iId, undefined, [region]),
      drop: (region) => {
        const kept = this.#frames.get(iId)?.filter((one) => one.region !== region);
        if (kept !== undefined) this.#frames.set(iId, kept);
      },
    };
  }

  /** Keeps regions that a node sent; without a node, those that were opened here. */
  keep(iId: string, from: string | undefined, regions: readonly WireRegion[]): void {
    const kept = this.#frames.get(iId) ?? [];
    this.#frames.set(iId, kept);
    for (const region of regions) kept.push({ from, region });
  }

  /**
   * Encodes regions that were made here, in bytes of their own; or says which are not here. Throws TESSERA_CODEC for a
   * codec that cannot carry one.
   */
  take(iId: string, asked: readonly AskedRegion[]): WireRegion[] | { readonly missing: RegionPlace[] } {
    const missing = asked.filter((one) => this.#find(iId, one) === undefined);
    if (missing.length > 0) return { missing: missing.map(({ tensor, box }) => ({ tensor, box })) };
    return asked.map((one) => encoded(this.#find(iId, one)!, one));
  }

  /** Forgets frames. */
  free(iIds: readonly string[]): void {
    for (const iId of iIds) this.#frames.delete(iId);
  }

  #find(iId: string, { tensor, box }: RegionPlace, from?: string): WireRegion | undefined {
    const matches = ({ from: sender, region }: Kept): boolean =>
      region.tensor === tensor && from === sender && contains(region.box, box);
    return this.#frames.get(iId)?.find(matches)?.region;
  }
}

/** A kept region, or a box of it, in the form in which it travels. */
function encoded(region: WireRegion, { tensor, box, codec }: AskedRegion): WireRegion {
  const about = { tensor, box, shape: boxShape(box), codec };
  if (sameBox(region.box, box) && sameCodec(region.codec, codec))
    return { ...about, dtype: region.dtype, d: region.d.slice() };
  // Clip quantises each element by itself, so its codes can be cut without a second loss.
  const areCodes = codec.name === 'clip' && (region.dtype === 'uint8' || sameCodec(region.codec, codec));
  const { dtype, shape, data } = areCodes ? codesOf(region) : valuesOf(region);
  const cut = sameBox(region.box, box) ? data : cropRegion({ dtype, shape, data }, region.box, box);
  if (areCodes) return { ...about, dtype: 'float32', d: encodeClipCodes(cut, codec) };
  const spec = { dtype, shape: about.shape };
  const found = findCodec(codec.name);
  if (found?.carries(spec) !== true) throw new TesseraError('TESSERA_CODEC', `${codec.name} cannot carry ${dtype}`);
  const d = found.encode(cut, spec, codec);
  return { ...about, dtype, d: d.buffer === region.d.buffer ? d.slice() : d };
}

function valuesOf({ dtype, shape, codec, d }: WireRegion): Tensor {
  const found = findCodec(codec.name);
  if (found === undefined) throw new TesseraError('TESSERA_CODEC', `unknown codec "${codec.name}"`);
  return { dtype, shape, data: found.decode(d, { dtype, shape }, codec) };
}

function codesOf({ shape, codec, d }: WireRegion): Tensor {
  const data = codec.name === 'clip' ? decodeClipCodes(d, elementCount(shape), codec) : d;
  return { dtype: 'uint8', shape, data };
}
