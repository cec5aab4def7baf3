import { MAX_PARTS, MAX_RANK, MAX_REGIONS, MAX_TENSOR_NAME } from '../../plan/limits.ts';
import { explain, quickly, type Schema } from '../../schema.ts';
import { isDtype } from '../../tensor/tensor.ts';
import { isNodeId } from '../topics.ts';
import { IMAGE_ID, MAX_DESTINATIONS, MAX_SIZE, MAX_TEXT } from './fields.ts';
import {
  type ResultMessage,
  resultMessage,
  type WorkAddress,
  type WorkMessage,
  workAddress,
  workMessage,
} from './work.ts';

/**
 * Reads the two messages that every part of every frame is in. Their schemas (work.ts) cost several times as much as
 * decoding, so messages with the usual fields are checked by hand, by the same rules and without a copy; messages with
 * other fields, and results with errors, are left to the schemas.
 */

type Fields = Readonly<Record<string, unknown>>;

/** The message, where it has the fields of `workMessage` and no others; undefined where the schema has to say. */
export function usualWork(value: unknown): WorkMessage | undefined {
  if (!hasFields(value, 7) || !isAbout(value) || !isTime(value.budget_ms)) return undefined;
  const { tiles } = value;
  if (!isList(tiles, MAX_PARTS) || tiles.length === 0) return undefined;
  return every(tiles, isWorkTile) ? (value as WorkMessage) : undefined;
}

/** The message, where it has the fields of `resultMessage` and no others; undefined where the schema has to say. */
export function usualResult(value: unknown): ResultMessage | undefined {
  if (!hasFields(value, 8) || !isAbout(value) || !isNode(value.n_id) || !isTime(value.queue_ms)) return undefined;
  const { tiles } = value;
  return isList(tiles, MAX_PARTS) && every(tiles, isResultTile) ? (value as ResultMessage) : undefined;
}

/** Work as it arrives: a message, or as much of one that is not valid as its answer repeats. */
export type ReceivedWork =
  | { readonly message: WorkMessage }
  | { readonly address: WorkAddress; readonly fault: string };

/** Work as it arrives; refuses only what cannot be answered. */
export const receivedWork: Schema<ReceivedWork> = {
  safeParse(value) {
    const work = usualWork(value);
    if (work !== undefined) return { success: true, data: { message: work } };
    const whole = workMessage.safeParse(value);
    if (whole.success) return { success: true, data: { message: whole.data } };
    const part = workAddress.safeParse(value);
    if (!part.success) return part;
    return { success: true, data: { address: part.data, fault: explain(whole.error) } };
  },
};

/** `result` as it arrives. */
export const receivedResult = quickly(usualResult, resultMessage);

function isAbout({ v, plan, i_id, stage, attempt }: Fields): boolean {
  return (
    v === 1 &&
    isText(plan, MAX_TEXT) &&
    isText(i_id, MAX_TEXT) &&
    IMAGE_ID.test(i_id) &&
    isCount(stage) &&
    isCount(attempt)
  );
}

function isWorkTile(tile: unknown): boolean {
  if (!hasFields(tile, 3) || !isCount(tile.t_id)) return false;
  const { in: inputs, out } = tile;
  return isList(inputs, MAX_REGIONS) && isList(out, MAX_REGIONS) && every(inputs, isInput) && every(out, isOutput);
}

function isResultTile(tile: unknown): boolean {
  if (!hasFields(tile, 3) || !isCount(tile.t_id) || !isTime(tile.compute_ms)) return false;
  return isList(tile.out, MAX_REGIONS) && every(tile.out, isRegionOrReceipt);
}

function isInput(input: unknown): boolean {
  if (hasFields(input, 6)) return isRegion(input);
  return hasFields(input, 3) && isPlace(input) && (input.held === true || isNode(input.from));
}

function isOutput(output: unknown): boolean {
  if (!hasFields(output, 4) || !isPlace(output) || !isCodec(output.codec)) return false;
  return isList(output.to, MAX_DESTINATIONS) && output.to.length > 0 && every(output.to, isNode);
}

function isRegionOrReceipt(region: unknown): boolean {
  if (hasFields(region, 6)) return isRegion(region);
  return hasFields(region, 7) && isRegionInfo(region) && isCount(region.bytes) && isTime(region.ms);
}

function isRegion(region: Fields): boolean {
  return isRegionInfo(region) && region.d instanceof Uint8Array;
}

function isRegionInfo(region: Fields): boolean {
  return isPlace(region) && isDtype(region.dtype) && isShape(region.shape) && isCodec(region.codec);
}

function isPlace({ tensor, box }: Fields): boolean {
  return isText(tensor, MAX_TENSOR_NAME) && isList(box, MAX_RANK) && every(box, isRange);
}

function isRange(range: unknown): boolean {
  if (!Array.isArray(range) || range.length !== 2) return false;
  const [start, end] = range;
  return isCount(start) && isCount(end) && start <= end;
}

function isShape(shape: unknown): boolean {
  return isList(shape, MAX_RANK) && every(shape, isSize);
}

function isSize(size: unknown): boolean {
  return isCount(size) && size <= MAX_SIZE;
}

function isCodec(codec: unknown): boolean {
  if (hasFields(codec, 1)) return codec.name === 'raw' || codec.name === 'packed' || codec.name === 'fp16';
  if (hasFields(codec, 2)) return codec.name === 'q8' && (codec.per === 'tensor' || codec.per === 'channel');
  if (!hasFields(codec, 4) && !(hasFields(codec, 5) && isNumber(codec.base))) return false;
  const { name, a, b, bits } = codec;
  if (name !== 'clip' || !isNumber(a) || !isNumber(b) || a >= b || !Number.isFinite((2 ** 8 - 1) / (b - a)))
    return false;
  return isCount(bits) && bits >= 2 && bits <= 8;
}

/** Whether a value is an object with so many fields. */
function hasFields(value: unknown, count: number): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  let fields = 0;
  for (const _ in value) fields++;
  return fields === count;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isTime(value: unknown): boolean {
  return isNumber(value) && value >= 0;
}

function isText(value: unknown, most: number): value is string {
  return typeof value === 'string' && value.length <= most;
}

function isNode(value: unknown): boolean {
  return typeof value === 'string' && isNodeId(value);
}

function isList(value: unknown, most: number): value is unknown[] {
  return Array.isArray(value) && value.length <= most;
}

/** As the method of arrays, which skips missing elements. */
function every(list: readonly unknown[], holds: (value: unknown) => boolean): boolean {
  for (let k = 0; k < list.length; k++) if (!holds(list[k])) return false;
  return true;
}
