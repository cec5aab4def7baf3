import type { Worker } from 'node:worker_threads';

/**
 * Makes an executor's thread end by a fault of its own, at the next message that it reads, that is between two runs.
 * (`terminate` during a run aborts the whole process: onnxruntime-node throws a C++ exception that nobody catches.)
 */
export function killBetweenRuns(worker: Worker): void {
  worker.postMessage(null);
}
