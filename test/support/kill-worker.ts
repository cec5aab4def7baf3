import type { Worker } from 'node:worker_threads';

/**
 * Makes an executor's thread end by a fault of its own, at the next message that it reads, that is between two runs.
 * (`terminate` during a run aborts the whole process: onnxruntime-node throws a C++ exception that nobody catches.)
 */
export function killBetweenRuns(worker: Worker): void {
  worker.postMessage(null);
}

/** The same right before the next message to the thread, which finds it dead, however fast thread and sender are. */
export function killAtNextMessage(worker: Worker): void {
  const post = worker.postMessage.bind(worker);
  worker.postMessage = (...args: Parameters<Worker['postMessage']>) => {
    worker.postMessage = post;
    post(null);
    post(...args);
  };
}
