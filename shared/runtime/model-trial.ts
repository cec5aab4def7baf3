import { fork } from 'node:child_process';
import type { Tensor } from '../tensor/tensor.ts';
import { compiledFile } from './worker-entry.ts';

/** A model to try, and its inputs: one list of named tensors for each run. */
export interface TrialModel {
  /** A file, or a model's bytes. */
  readonly model: string | Uint8Array;
  readonly threads: number;
  readonly feeds: readonly (readonly (readonly [string, Tensor])[])[];
}

/** What came of a model: its outputs, one list for each run, in the graph's order; or why it cannot run. */
export type TrialAnswer =
  | { readonly outputs: readonly (readonly (readonly [string, Tensor])[])[] }
  | { readonly problem: string };

/** A trial that takes longer says nothing. */
export const TRIAL_MS = 120_000;

/**
 * Runs models in a process of its own: a network of a stranger may make the runtime abort, or run for ever, and neither
 * may end the caller. Never throws: what went wrong is the answer of every model. `signal` ends the process at once.
 */
export function tryModels(
  models: readonly TrialModel[],
  { timeoutMs = TRIAL_MS, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<readonly TrialAnswer[]> {
  return new Promise((resolve) => {
    const child = fork(compiledFile(import.meta.url, './model-trial-worker.ts'), [String(timeoutMs + 5000)], {
      serialization: 'advanced',
      // What the runtime prints is not ours to show.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      execArgv: [],
    });
    const settle = (answers: readonly TrialAnswer[]): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      child.kill('SIGKILL');
      resolve(answers);
    };
    const fail = (problem: string): void => settle(models.map(() => ({ problem })));
    const onAbort = (): void => fail('the trial was stopped');
    const timer = setTimeout(() => fail(`it took longer than ${timeoutMs / 1000} s`), timeoutMs);
    if (signal?.aborted) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    child.once('error', (error) => fail(`its process did not start: ${error.message}`));
    child.once('exit', (code, name) => fail(`the runtime ended its process (${name ?? `code ${code}`})`));
    child.once('message', (answers) => settle(answers as readonly TrialAnswer[]));
    child.send(models as TrialModel[], (error) => {
      if (error !== null) fail(`its process cannot be reached: ${error.message}`);
    });
  });
}
