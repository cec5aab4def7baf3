import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';

/**
 * Native calls of ONNX Runtime under way in all threads of this process. A process that ends in the middle of one is
 * aborted (SIGABRT): onnxruntime-node 1.30 then throws a C++ exception that is not caught.
 *
 *   open --endProcess--> closed: no call begins any more; the process ends with the last one, or is killed
 */

/** Shared by all threads: whether the process is about to end, and how many calls are under way. */
const CLOSED = 0;
const UNDER_WAY = 1;
const NAME = 'tessera native calls';
const state = new Int32Array((getEnvironmentData(NAME) as SharedArrayBuffer | undefined) ?? new SharedArrayBuffer(8));
if (isMainThread) setEnvironmentData(NAME, state.buffer);

/** How long the end of a process waits for the calls under way, ms. */
const WAIT_MS = 4000;

/** Makes a call of the runtime. Once the process is about to end none begins: the promise stays open. */
export async function nativeCall<T>(call: () => Promise<T>): Promise<T> {
  Atomics.add(state, UNDER_WAY, 1);
  if (Atomics.load(state, CLOSED) === 1) {
    leave();
    return new Promise(() => {});
  }
  try {
    return await call();
  } finally {
    leave();
  }
}

function leave(): void {
  if (Atomics.sub(state, UNDER_WAY, 1) === 1) Atomics.notify(state, UNDER_WAY);
}

/**
 * Ends this process with an exit code, in place of `process.exit`: waits for native calls under way, `waitMs` at most.
 * Beyond that the process is killed, for there is no other way out of a native call.
 */
export function endProcess(code: number, waitMs = WAIT_MS): never {
  Atomics.store(state, CLOSED, 1);
  const until = performance.now() + waitMs;
  for (let count = Atomics.load(state, UNDER_WAY); count > 0; count = Atomics.load(state, UNDER_WAY)) {
    const left = until - performance.now();
    if (left <= 0) process.kill(process.pid, 'SIGKILL');
    Atomics.wait(state, UNDER_WAY, count, Math.max(1, left));
  }
  process.exit(code);
}
