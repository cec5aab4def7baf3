import type { Shot, Source } from '../shared/camera/source.ts';
import type { ResultObject } from '../shared/protocol/messages/result.ts';
import { pictureFrame } from './frame-files.ts';
import type { Answer, FrameClient } from './frames.ts';

/** A camera that sends its pictures and follows their results. */
export interface CameraRun {
  readonly client: FrameClient;
  readonly source: Source;
  /** Stop after so many; undefined: when the source ends. */
  readonly frames: number | undefined;
  readonly signal: AbortSignal;
  readonly onResult: (result: ResultObject, shot: Shot) => void;
  readonly onLost: (error: Error) => void;
}

/** Frames that may be under way; the camera waits when the cluster is slower than it. */
const MAX_OPEN = 4;
const TIMEOUT_MS = 30_000;

/** Runs until the frames are sent and answered, the source ends, or `signal` is aborted. */
export async function runCamera({ client, source, frames, signal, onResult, onLost }: CameraRun): Promise<void> {
  const open = new Set<Promise<void>>();
  const stopped = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  for (let sent = 0; (frames === undefined || sent < frames) && !signal.aborted; sent++) {
    const shot = await Promise.race([source.next(), stopped]);
    if (!shot || signal.aborted) break;
    const frame: Promise<void> = sendShot(client, shot, sent)
      .then(({ result }) => onResult(result, shot), onLost)
      .finally(() => open.delete(frame));
    open.add(frame);
    while (open.size >= MAX_OPEN && !signal.aborted) await Promise.race([...open, stopped]);
  }
  await Promise.race([Promise.all(open), stopped]);
}

async function sendShot(client: FrameClient, shot: Shot, count: number): Promise<Answer> {
  return client.send(`${shot.id}-${count}`, pictureFrame(shot.bytes, shot.id), TIMEOUT_MS);
}
