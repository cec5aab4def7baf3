import { fork } from 'node:child_process';
import type { Failure } from '../errors.ts';
import type { Dtype } from '../tensor/tensor.ts';
import { compiledFile } from './worker-entry.ts';

/** What a trial does: the network lies in a folder of blobs, as nodes get it. */
export interface TrialTask {
  readonly folder: string;
  /** SHA-256 of the network's skeleton. */
  readonly skeleton: string;
  readonly threads: number;
  readonly limitMs: number;
}

/** An output as the runtime made it. */
export interface MadeOutput {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** What the process of a trial says. `detail`: the runtime's own text. */
export type TrialAnswer =
  | { readonly outputs: readonly MadeOutput[] }
  | { readonly failure: Failure; readonly detail: string | undefined };

/** What came of a trial; `untried` where this machine could not try it, which says nothing of the network. */
export type Trial =
  | { readonly kind: 'ran'; readonly outputs: readonly MadeOutput[] }
  | { readonly kind: 'refused'; readonly failure: Failure; readonly detail: string | undefined }
  | { readonly kind: 'untried'; readonly reason: string };

/** Longest time for loading a network and running it once, ms. */
export const TRIAL_MS = 120_000;

function refused(message: string, hint: string): Trial {
  return { kind: 'refused', failure: { code: 'TESSERA_RUN_FAILED', message, hint }, detail: undefined };
}

/**
 * Whether the runtime of this machine runs a network, and what it makes: loaded and run once in a process of its own, so
 * that a network that crashes the runtime or never ends harms nobody. `script` is for tests. Throws only when aborted.
 */
export function tryNetwork(
  task: Omit<TrialTask, 'limitMs'> & { readonly limitMs?: number },
  signal?: AbortSignal,
  script = compiledFile(import.meta.url, './trial-process.ts'),
): Promise<Trial> {
  const { limitMs = TRIAL_MS } = task;
  return new Promise((resolve, reject) => {
    const child = fork(script, [JSON.stringify({ ...task, limitMs })], {
      execArgv: [],
      // The runtime's own log is not for people.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    let isLate = false;
    const late = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, limitMs);
    const abort = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', abort, { once: true });
    const settle = (trial: Trial): void => {
      clearTimeout(late);
      signal?.removeEventListener('abort', abort);
      // Whatever it still does, nobody wants it.
      child.kill('SIGKILL');
      if (signal?.aborted === true) reject(signal.reason);
      else resolve(trial);
    };
    child.on('message', (answer: TrialAnswer) =>
      settle('outputs' in answer ? { kind: 'ran', ...answer } : { kind: 'refused', ...answer }),
    );
    child.on('error', (error) => settle({ kind: 'untried', reason: error.message }));
    child.on('exit', (code, by) => {
      if (isLate)
        settle(
          refused(
            `it did not end its first run within ${limitMs / 1000} s`,
            'a network that never ends cannot be served; try a smaller input shape',
          ),
        );
      else if (by === 'SIGKILL')
        settle({ kind: 'untried', reason: 'the trial was ended from outside, for its memory perhaps' });
      else
        settle(
          refused(
            `the runtime crashed when it ran it (${by ?? `exit code ${code}`})`,
            'export it again, or for another operator set',
          ),
        );
    });
    if (signal?.aborted === true) abort();
  });
}
