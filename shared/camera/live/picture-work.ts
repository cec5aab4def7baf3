import { Worker } from 'node:worker_threads';
import { WorkerCalls } from '../../runtime/worker-call.ts';
import { workerEntry } from '../../runtime/worker-entry.ts';
import type { Crop, Polygon } from '../areas.ts';

/** What is done to a picture before it leaves the machine: made smaller, masked, then cropped. */
export interface PictureEdit {
  readonly crop: Crop | undefined;
  readonly masks: readonly Polygon[];
  /** The shorter side at most, pixels, before it is cropped. */
  readonly side: number | undefined;
}

/** Work with the pixels of cameras' pictures, in a thread of its own that starts with the first call. */
export class PictureWork {
  #calls: WorkerCalls | undefined;

  /** The small grey copy of a picture (motion.ts). Throws as `decodeFrame` does. */
  small(bytes: Uint8Array): Promise<Uint8Array> {
    return this.#worker().call('small', bytes);
  }

  /** The edited picture as a JPEG. Throws as `decodeFrame` does. */
  edit(bytes: Uint8Array, edit: PictureEdit): Promise<Uint8Array> {
    return this.#worker().call('edit', { ...edit, bytes });
  }

  async stop(): Promise<void> {
    await this.#calls?.end();
  }

  /** A thread that ended is replaced at the next call. */
  #worker(): WorkerCalls {
    this.#calls ??= new WorkerCalls(new Worker(workerEntry(import.meta.url, './picture-worker.ts')), () => {
      this.#calls = undefined;
    });
    return this.#calls;
  }
}
