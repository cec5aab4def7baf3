import type { Worker } from 'node:worker_threads';

/**
 * Makes an executor's thread end by a fault of its own, at the next message that it reads, that is between two runs.
 * (`terminate` during a run aborts the whole process: onnxruntime-node throws a C++ exception that nobody catches.)
 */
export function killBetweenRuns(worker: Worker): void {
  worker.postMessage(null);
}

/**
 * The same right before the nth message that the thread is sent from now on: that one finds it dead, however fast the
 * thread is and however slow whoever sends.
 */
export function killAtMessage(worker: Worker, n: number): void {
  const post = worker.postMessage.bind(worker);
  let sent = 0;
  worker.postMessage = (...args: Parameters<Worker['postMessage']>) => {
    if (++sent === n) post(null);
    post(...args);
  };
}
