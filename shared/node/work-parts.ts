import type { WireRegion } from '../protocol/messages/region.ts';
import type { ResultMessage, WorkMessage } from '../protocol/messages/work.ts';
import { type Box, boxShape, byteLength } from '../tensor/tensor.ts';
import type { Job, StageRegions } from './executor-types.ts';
import type { Need, PartRegions, SizedPlace } from './region-index.ts';
import type { Refusal } from './work-queue.ts';

type WorkTile = WorkMessage['tiles'][number];
type Tile = Job['tiles'][number];
type Outputs = Extract<ResultMessage['tiles'][number], { out: unknown }>['out'];
type Receipt = Extract<Outputs[number], { bytes: unknown }>;

/** An output of a part that goes to other nodes than the sender of the work. */
export interface Delivery {
  readonly region: WireRegion;
  readonly to: readonly string[];
}

/** A part of a work message: what the executor runs, the regions that it reads and makes here, and where its outputs go. */
export interface WorkPart extends PartRegions {
  readonly tile: Tile;
  /** Absent where all inputs came along and the sender of the work gets all outputs, and nobody else. */
  readonly out?: readonly {
    readonly asked: Tile['out'][number];
    /** Type and bytes of what is kept here and goes nowhere. */
    readonly receipt?: Pick<Receipt, 'dtype' | 'bytes'>;
    /** Whether the sender of the work gets its bytes. */
    readonly isReturned: boolean;
    readonly to: readonly string[];
  }[];
}

const NOTHING: readonly never[] = [];

/** The node that the work is for, and the node that asked for it. */
export interface Between {
  readonly self: string;
  readonly from: string;
}

/** Bytes of the inputs that came with a tile. */
export function inlineBytes({ in: inputs }: WorkTile): number {
  return inputs.reduce((total, input) => ('d' in input ? total + input.d.byteLength : total), 0);
}

/**
 * A tile of a work message as a part. `regions` describes its stage; without it, or where the stage has no such tensor,
 * nothing can be kept or awaited, which is a refusal. `own` makes bytes this process's own.
 */
export function workPart(
  tile: WorkTile,
  { plan, i_id, stage }: Pick<WorkMessage, 'plan' | 'i_id' | 'stage'>,
  { self, from }: Between,
  regions: StageRegions | undefined,
  own: (bytes: Uint8Array) => Uint8Array,
): WorkPart | Refusal {
  if (isPlain(tile, from)) {
    const inputs = tile.in.map((input) => ('d' in input ? { ...input, d: own(input.d) } : input));
    const out = tile.out.map(({ tensor, box, codec }) => ({ tensor, box, codec }));
    return { iId: i_id, plan, needs: NOTHING, makes: NOTHING, tile: { t_id: tile.t_id, in: inputs, out } };
  }
  const needs: Need[] = [];
  const makes: SizedPlace[] = [];
  let unknown: string | undefined;
  const sized = ({ tensor, box }: { tensor: string; box: [number, number][] }): SizedPlace => {
    const bytes = keptBytes(regions, tensor, box);
    if (bytes === undefined) unknown ??= tensor;
    return { tensor, box, bytes: bytes ?? 0 };
  };
  const inputs = tile.in.map((input) => {
    if ('d' in input) return { ...input, d: own(input.d) };
    const place = sized(input);
    if ('from' in input && input.from !== self) {
      needs.push({ ...place, from: input.from });
      return input;
    }
    needs.push(place);
    return { tensor: input.tensor, box: input.box, held: true as const };
  });
  const out = tile.out.map(({ to, ...asked }) => {
    const isReturned = to.includes(from);
    const others = to.filter((node) => node !== from && node !== self);
    // Who asks itself gets its results, and keeps nothing besides.
    if (!to.includes(self) || self === from) return { asked, isReturned, to: others };
    const kept = sized(asked);
    makes.push(kept);
    if (isReturned || others.length > 0) return { asked: { ...asked, keep: 'also' as const }, isReturned, to: others };
    const dtype = regions?.tensors.get(asked.tensor)?.dtype ?? 'uint8';
    const receipt = { dtype, bytes: kept.bytes };
    return { asked: { ...asked, keep: 'only' as const }, receipt, isReturned, to: others };
  });
  if (unknown !== undefined)
    return regions === undefined
      ? { code: 'unknown-plan', text: `stage ${stage} of plan ${plan} is not prepared here` }
      : { code: 'bad-input', text: `stage ${stage} cannot keep "${unknown}": its size is not known` };
  return {
    iId: i_id,
    plan,
    needs,
    makes,
    tile: { t_id: tile.t_id, in: inputs, out: out.map(({ asked }) => asked) },
    out,
  };
}

function isPlain({ in: inputs, out }: WorkTile, from: string): boolean {
  return inputs.every((input) => 'd' in input) && out.every(({ to }) => to.length === 1 && to[0] === from);
}

/** Bytes of a region of a prepared stage's tensor in the form in which it is kept, before any codec. */
export function keptBytes(regions: StageRegions | undefined, tensor: string, box: Box): number | undefined {
  const known = regions?.tensors.get(tensor);
  if (known === undefined) return undefined;
  return byteLength({ dtype: known.areCodes ? 'uint8' : known.dtype, shape: boxShape(box) });
}

/** What a part made that is sent to other nodes than the one that asked. */
export function deliveries(part: WorkPart, out: readonly WireRegion[]): Delivery[] {
  if (part.out === undefined) return [];
  return made(part.out, out).flatMap(({ region, to }) =>
    region !== undefined && to.length > 0 ? [{ region, to }] : [],
  );
}

/** The outputs in the answer: with bytes for the node that asked, else as receipts. `ms`: until the network had them. */
export function answerOf(part: WorkPart, out: readonly WireRegion[], ms: number): Outputs {
  if (part.out === undefined) return [...out];
  return made(part.out, out).flatMap(({ asked: { tensor, box, codec }, receipt, region, isReturned }): Outputs => {
    if (receipt !== undefined) {
      const wire = box.map(([start, end]): [number, number] => [start, end]);
      return [{ tensor, box: wire, shape: boxShape(box), codec, ...receipt, ms }];
    }
    if (region === undefined) return [];
    if (isReturned) return [region];
    const { d, ...about } = region;
    return [{ ...about, bytes: d.byteLength, ms }];
  });
}

/** The outputs of a part with what the executor returned for each: nothing for those that it only keeps. */
function made(out: NonNullable<WorkPart['out']>, returned: readonly WireRegion[]) {
  let next = 0;
  return out.map((each) => ({ ...each, region: each.receipt === undefined ? returned[next++] : undefined }));
}
