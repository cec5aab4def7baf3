import { Worker } from 'node:worker_threads';
import { TesseraError } from '../../shared/errors.ts';
import { WorkerCalls } from '../../shared/runtime/worker-call.ts';
import { workerEntry } from '../../shared/runtime/worker-entry.ts';
import type { Snapshot, SnapshotRequest } from './snapshot.ts';

/** Draws pictures in a thread of its own, which begins with the first of them; one that ended is begun again. */
export class Pictures {
  #calls: WorkerCalls | undefined;
  #stopped = false;

  /** Throws what `drawSnapshot` throws, and TESSERA_INTERNAL where the thread ended. */
  draw(request: SnapshotRequest): Promise<Snapshot> {
    if (this.#stopped) return Promise.reject(new TesseraError('TESSERA_INTERNAL', 'central is stopping'));
    this.#calls ??= new WorkerCalls(new Worker(workerEntry(import.meta.url, './pictures-worker.ts')), () => {
      this.#calls = undefined;
    });
    return this.#calls.call('draw', request);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#calls?.end();
  }
}
