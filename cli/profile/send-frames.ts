import type { ServedModel } from '../../central/served-model.ts';
import { drawnPictures } from '../../shared/camera/live/scene-source.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { byteLength } from '../../shared/tensor/tensor.ts';
import type { FrameClient } from '../frames.ts';

/** Frames of which central's own work is measured: fewer once `BUDGET_MS` are over, as the first ones meet cold code. */
const FRAMES = 40;
const LEAST_FRAMES = 9;
const BUDGET_MS = 5000;
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
  const end = performance.now() + BUDGET_MS;
  for (let i = 0; i < FRAMES && (i < LEAST_FRAMES || performance.now() < end); i++) {
    const { error } = (await camera.send(`profile-${i}`, frame, ANSWER_MS)).result;
    if (error !== undefined) throw new TesseraError('TESSERA_RUN_FAILED', error.message);
  }
}
