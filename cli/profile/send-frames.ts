import type { ServedModel } from '../../central/served-model.ts';
import { drawnPictures } from '../../shared/camera/live/scene-source.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { byteLength } from '../../shared/tensor/tensor.ts';
import type { FrameClient } from '../frames.ts';

/** Frames of which central's own work is measured; the first one of them meets cold code. */
const FRAMES = 9;
const ANSWER_MS = 60_000;

/**
 * Sends a model's plan some made-up frames, one after another, so that central learns what its own work for them takes.
 * Throws the error with which a frame ended.
 */
export async function sendFrames(camera: FrameClient, { input, manifest }: ServedModel): Promise<void> {
  const { dtype, shape } = input;
  const frame: FrameEnvelope =
    manifest.picture === undefined
      ? { v: 1, format: 'tensor', dtype, shape: [...shape], d: new Uint8Array(byteLength(input)) }
      : { v: 1, format: 'jpeg', d: (await drawnPictures(1))[0]! };
  for (let i = 0; i < FRAMES; i++) {
    const { error } = (await camera.send(`profile-${i}`, frame, ANSWER_MS)).result;
    if (error !== undefined) throw new TesseraError('TESSERA_RUN_FAILED', error.message);
  }
}
