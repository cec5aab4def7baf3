import { placePicture } from '../../shared/model/picture-placement.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { thumbnail } from '../../shared/runtime/image.ts';
import type { EndedFrame } from '../effects.ts';
import type { Observer } from '../observers/observer.ts';
import { spansOf } from '../publish/spans.ts';
import type { ApiFrame } from './api.ts';

/** Shortest time between two frames of one camera that are shown, ms. */
export const SHOWN_MS = 500;
/** Cameras of which frames are kept, and the bytes of their pictures. */
export const SHOWN_CAMERAS = 64;
export const SHOWN_BYTES = 64e6;
/** Frames that are kept of one camera: a browser asks for a picture after its frame was replaced. */
const FRAMES = 2;
/** Longer side of the pictures that are shown, pixels; their JPEG quality. */
export const SHOWN_SIDE = 640;
const QUALITY = 70;

interface Kept {
  readonly ended: EndedFrame;
  readonly result: ResultObject;
  readonly bytes: number;
  jpeg: Promise<Uint8Array> | undefined;
}

/**
 * The newest frames of each camera, at most two a second, for people to look at. A frame that ends costs a look at the
 * clock; a picture is made small only when it is asked for, once, and outside of this thread.
 */
export class ShownFrames implements Observer {
  /** By camera, the one with the newest frame last; its newest frame last. */
  readonly #cameras = new Map<string, { at: number; readonly frames: Kept[] }>();
  readonly #now: () => number;
  #bytes = 0;
  /** Is told of each frame that is shown. */
  onFrame: (camera: string) => void = () => {};

  /** `now`: any steady clock, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  frameEnded(ended: EndedFrame, result: ResultObject): void {
    const { camera } = result;
    const now = this.#now();
    const shown = this.#cameras.get(camera) ?? { at: Number.NEGATIVE_INFINITY, frames: [] };
    if (now - shown.at < SHOWN_MS) return;
    shown.at = now;
    this.#cameras.delete(camera);
    this.#cameras.set(camera, shown);
    const { byteLength: bytes } = ended.arrival.envelope.d;
    shown.frames.push({ ended, result, bytes, jpeg: undefined });
    this.#bytes += bytes;
    if (shown.frames.length > FRAMES) this.#bytes -= shown.frames.shift()!.bytes;
    this.#makeRoom();
    this.onFrame(camera);
  }

  cameraForgotten(camera: string): void {
    for (const { bytes } of this.#cameras.get(camera)?.frames ?? []) this.#bytes -= bytes;
    this.#cameras.delete(camera);
  }

  /** The newest shown frame of a camera. */
  newest(camera: string): ApiFrame | undefined {
    const kept = this.#cameras.get(camera)?.frames.at(-1);
    return kept === undefined ? undefined : describe(kept);
  }

  /** A small JPEG of a frame's picture; undefined where the frame is not kept, or was no picture. */
  picture(camera: string, id: string): Promise<Uint8Array> | undefined {
    const kept = this.#cameras.get(camera)?.frames.find(({ result }) => result.id === id);
    if (kept === undefined || !hasPicture(kept)) return undefined;
    kept.jpeg ??= thumbnail(kept.ended.arrival.envelope, SHOWN_SIDE, QUALITY);
    return kept.jpeg;
  }

  #makeRoom(): void {
    while (this.#cameras.size > SHOWN_CAMERAS || (this.#bytes > SHOWN_BYTES && this.#cameras.size > 1))
      this.cameraForgotten(this.#cameras.keys().next().value!);
  }
}

function hasPicture({ ended, bytes }: Kept): boolean {
  return bytes > 0 && ended.arrival.envelope.format !== 'tensor';
}

function describe(kept: Kept): ApiFrame {
  const { ended, result } = kept;
  return {
    v: 1,
    result,
    picture: hasPicture(kept),
    area: areaOf(ended),
    stages: ended.stages.map(({ id, split }) => ({
      id,
      split: split.kind,
      rows: split.kind === 'tiles' ? [...split.rows] : [],
      cols: split.kind === 'tiles' ? [...split.cols] : [],
    })),
    spans: spansOf(ended.end),
    trace: [...ended.end.trace],
  };
}

/** What the network sees of the picture, in its pixels. */
function areaOf({ size, model }: EndedFrame): ApiFrame['area'] {
  const { width, height } = size;
  const { picture } = model.manifest;
  if (width === null || height === null || picture === undefined) return null;
  const { mapping } = placePicture({ width, height }, picture);
  const { offsetX, offsetY, scaleX, scaleY } = mapping;
  return [offsetX, offsetY, offsetX + picture.width * scaleX, offsetY + picture.height * scaleY];
}
