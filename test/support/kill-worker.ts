import type { Worker } from 'node:worker_threads';

/**
 * Ends an executor's thread by a fault when it reads its next message, which is between two runs. (`terminate`
 * during a run aborts the whole process: onnxruntime-node throws a C++ exception that is not caught.)
 */
export function killBetweenRuns(worker: Worker): void {
  worker.postMessage(null);
}

/**
 * The same right before the nth message that the thread is sent from now on: that message finds the thread dead,
 * however fast the thread and the sender are.
 */
export function killAtNextMessage(worker: Worker): void {
  const post = worker.postMessage.bind(worker);
  worker.postMessage = (...args: Parameters<Worker['postMessage']>) => {
    worker.postMessage = post;
    post(null);
    post(...args);
  };
}
