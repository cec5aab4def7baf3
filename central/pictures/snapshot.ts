import { predictionsSvg } from '../../shared/model/drawing.ts';
import type { Size } from '../../shared/model/picture-placement.ts';
import type { Prediction } from '../../shared/protocol/messages/result.ts';
import { decodeRegion, drawOver, frameSize, type PictureFrame } from '../../shared/runtime/image.ts';

/** A picture of what was found in a frame, and a zoomed one of each of some boxes. */
export interface SnapshotRequest {
  readonly frame: PictureFrame;
  readonly predictions: readonly Prediction[];
  readonly isWhole: boolean;
  /** Of these; those without a box have none. */
  readonly crops: readonly Prediction[];
}

/** JPEGs; undefined where none was asked for. */
export interface Snapshot {
  readonly whole: Uint8Array | undefined;
  readonly crops: readonly (Uint8Array | undefined)[];
}

/** Longest side of a snapshot, and side of a crop, pixels. */
export const SNAPSHOT_SIDE = 1280;
export const CROP_SIDE = 320;
/** A crop shows so many times the longer side of the box. */
const AROUND = 1.3;

/** Draws a snapshot and crops. Throws TESSERA_INPUT_INVALID, TESSERA_INPUT_TOO_LARGE as `decodeFrame` does. */
export async function drawSnapshot({ frame, predictions, isWhole, crops }: SnapshotRequest): Promise<Snapshot> {
  const size = await frameSize(frame);
  const whole = isWhole ? await draw(frame, { left: 0, top: 0, ...size }, SNAPSHOT_SIDE, predictions) : undefined;
  const drawn = [];
  for (const one of crops) drawn.push(one.box === undefined ? undefined : await crop(frame, size, one));
  return { whole, crops: drawn };
}

type Region = Size & { readonly left: number; readonly top: number };

function crop(frame: PictureFrame, size: Size, one: Prediction): Promise<Uint8Array> {
  const [x1, y1, x2, y2] = one.box!;
  const side = Math.max(8, AROUND * Math.max(x2 - x1, y2 - y1));
  const [width, height] = [size.width, size.height].map((most) => Math.min(most, Math.ceil(side))) as [number, number];
  const place = (middle: number, length: number, most: number): number =>
    Math.min(Math.max(0, Math.round(middle - length / 2)), most - length);
  const left = place((x1 + x2) / 2, width, size.width);
  const top = place((y1 + y2) / 2, height, size.height);
  return draw(frame, { left, top, width, height }, CROP_SIDE, [one]);
}

/** A region of a frame in a picture whose longer side is `side`, or smaller where the region is, for a whole frame. */
async function draw(
  frame: PictureFrame,
  region: Region,
  side: number,
  predictions: readonly Prediction[],
): Promise<Uint8Array> {
  const longest = Math.max(region.width, region.height);
  const scale = side === CROP_SIDE ? side / longest : Math.min(1, side / longest);
  const size = {
    width: Math.max(1, Math.round(region.width * scale)),
    height: Math.max(1, Math.round(region.height * scale)),
  };
  const rgb = await decodeRegion(frame, region, size);
  const moved = predictions.map(({ label, score, box }): Prediction => {
    if (box === undefined) return { label, score };
    const [x1, y1, x2, y2] = box;
    return { label, score, box: [x1 - region.left, y1 - region.top, x2 - region.left, y2 - region.top] };
  });
  return drawOver(rgb, size, predictionsSvg(size, scale, moved));
}
