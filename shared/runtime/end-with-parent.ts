import { Worker } from 'node:worker_threads';

const WATCHDOG = `
  const { workerData: { parent, end } } = require('node:worker_threads');
  setInterval(() => { if (process.ppid !== parent || Date.now() > end) process.kill(process.pid, 'SIGKILL'); }, 500);
`;

/**
 * Ends this process when its parent is gone, or after so many milliseconds, whatever the runtime does: a separate
 * thread watches, until the returned function is called.
 */
export function endWithParent(limitMs: number): () => void {
  const workerData = { parent: process.ppid, end: Date.now() + limitMs };
  const watchdog = new Worker(WATCHDOG, { eval: true, execArgv: [], workerData });
  watchdog.unref();
  return () => void watchdog.terminate();
}
