import { TesseraError } from '../shared/errors.ts';
import type { Bus } from '../shared/ports.ts';
import type { ResultObject } from '../shared/protocol/messages/result.ts';
import type { Topics } from '../shared/protocol/topics.ts';
import type { OutgoingFrame } from './frame-sources.ts';
import { FrameClient, publishFrame } from './frames.ts';
import { untilAborted } from './signals.ts';

/** What `sendFrames` sends, and where. */
export interface SendOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly camera: string;
  readonly frames: AsyncIterable<OutgoingFrame>;
  readonly qos: 0 | 1;
  /** The model whose result counts; undefined: the first result. */
  readonly model?: string | undefined;
  /** With a number, one frame at a time: each waits that long for its result. */
  readonly waitMs: number | undefined;
  readonly signal: AbortSignal;
  readonly onResult: (result: ResultObject) => void;
}

/** What became of the frames; `failed` ended with an error. */
export interface SendCounts {
  sent: number;
  answered: number;
  failed: number;
}

/**
 * Sends every frame of a source. Throws TESSERA_DEADLINE for a result that does not come; ends early when `signal` is
 * aborted.
 */
export async function sendFrames(options: SendOptions): Promise<SendCounts> {
  const { bus, topics, camera, qos, model, waitMs, signal, onResult } = options;
  const counts: SendCounts = { sent: 0, answered: 0, failed: 0 };
  const client = waitMs === undefined ? undefined : new FrameClient(bus, topics, camera);
  await client?.start();
  try {
    for await (const { id, format, bytes } of options.frames) {
      if (signal.aborted) break;
      const envelope = { v: 1, format, d: bytes } as const;
      counts.sent++;
      if (client === undefined) {
        await publishFrame(bus, topics, camera, id, envelope, qos);
        continue;
      }
      const { result } = await untilAborted(client.send(id, envelope, waitMs!, model), signal);
      counts.answered++;
      if (result.status === 'error') counts.failed++;
      onResult(result);
    }
  } catch (error) {
    if (!signal.aborted || error instanceof TesseraError) throw error;
  }
  return counts;
}
