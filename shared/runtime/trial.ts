import { type ChildProcess, fork } from 'node:child_process';
import type { Failure } from '../errors.ts';
import type { Dtype, Tensor } from '../tensor/tensor.ts';
import { compiledFile } from './worker-entry.ts';

/** A network to load and run. */
export interface TrialTask {
  /** A file, or a model's bytes. */
  readonly model: string | Uint8Array;
  /** Folder of its weight files, where they do not lie beside the model. */
  readonly dataFolder?: string;
  readonly threads: number;
  /** One list of named inputs for each run. Absent: one run on zeros, which tells the types of the outputs alone. */
  readonly feeds?: readonly (readonly (readonly [string, Tensor])[])[];
}

/** An output as the runtime made it. */
export interface MadeOutput {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** The runtime refused a network. `detail`: the runtime's own text. */
export interface TrialRefusal {
  readonly failure: Failure;
  readonly detail: string | undefined;
}

/** Result of a task. `outputs`: one list for each run, in the graph's order; `made`: of a task without feeds. */
export type TrialAnswer =
  | { readonly outputs: readonly (readonly (readonly [string, Tensor])[])[] }
  | { readonly made: readonly MadeOutput[] }
  | TrialRefusal;

/**
 * Outcome of tasks: an answer to each, or none. `ended`: the process was killed from outside, which says nothing about
 * the network.
 */
export type TrialEnd =
  | { readonly kind: 'answered'; readonly answers: readonly TrialAnswer[] }
  | { readonly kind: 'late'; readonly seconds: number }
  | { readonly kind: 'crashed'; readonly by: string }
  | { readonly kind: 'ended'; readonly reason: string };

/** A question to the trial process. */
export interface TrialQuestion {
  readonly tasks: readonly TrialTask[];
  readonly limitMs: number;
}

/** Options of trials. */
export interface TrialOptions {
  /** Longest time for the tasks of one question, ms. */
  readonly limitMs?: number | undefined;
  /** Ends the process at once. */
  readonly signal?: AbortSignal | undefined;
  /** For tests: the program in place of trial-process.ts. */
  readonly script?: string;
}

/** Longest time for loading a network and running it, ms. */
export const TRIAL_MS = 120_000;

/**
 * Loads and runs networks in a child process: an unknown network may crash the runtime or never end, without harm to
 * the caller. The process starts with the first question and keeps the last loaded file, so that a second question
 * about it costs only the run. A process that failed is replaced. One question at a time.
 */
export class Trials {
  readonly #options: TrialOptions;
  #child: ChildProcess | undefined;

  constructor(options: TrialOptions = {}) {
    this.#options = options;
  }

  /** Throws the signal's reason, and nothing else. */
  run(tasks: readonly TrialTask[]): Promise<TrialEnd> {
    const { signal, limitMs = TRIAL_MS } = this.#options;
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const child = this.#started();
      let isLate = false;
      const late = setTimeout(() => {
        isLate = true;
        child.kill('SIGKILL');
      }, limitMs);
      const onAbort = (): void => void child.kill('SIGKILL');
      signal?.addEventListener('abort', onAbort, { once: true });
      const settle = (end: TrialEnd): void => {
        clearTimeout(late);
        signal?.removeEventListener('abort', onAbort);
        child.off('message', onMessage).off('error', onError).off('exit', onExit);
        // A process without an answer is of no more use.
        if (end.kind !== 'answered' || signal?.aborted === true) this.end();
        if (signal?.aborted === true) reject(signal.reason);
        else resolve(end);
      };
      const onMessage = (answers: unknown): void => settle({ kind: 'answered', answers: answers as TrialAnswer[] });
      const onError = (error: Error): void => settle({ kind: 'ended', reason: error.message });
      const onExit = (code: number | null, by: NodeJS.Signals | null): void => {
        if (isLate) settle({ kind: 'late', seconds: limitMs / 1000 });
        else if (by === 'SIGKILL')
          settle({ kind: 'ended', reason: 'the trial was ended from outside, for its memory perhaps' });
        else settle({ kind: 'crashed', by: by ?? `exit code ${code}` });
      };
      child.once('message', onMessage).once('error', onError).once('exit', onExit);
      child.send({ tasks, limitMs } satisfies TrialQuestion, (error) => {
        // Its exit tells why.
        if (error !== null) child.kill('SIGKILL');
      });
    });
  }

  /** Ends the process, whatever it does. */
  end(): void {
    const child = this.#child;
    this.#child = undefined;
    child?.kill('SIGKILL');
  }

  #started(): ChildProcess {
    const kept = this.#child;
    if (kept?.connected && kept.exitCode === null && kept.signalCode === null) return kept;
    this.end();
    const { script = compiledFile(import.meta.url, './trial-process.ts') } = this.#options;
    this.#child = fork(script, [], {
      execArgv: [],
      serialization: 'advanced',
      // The runtime's output is not for users.
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    // Between two questions nothing else handles its errors.
    this.#child.on('error', () => {});
    return this.#child;
  }
}

/** Provides trials for as long as `use` takes. */
export async function withTrials<T>(options: TrialOptions, use: (trials: Trials) => Promise<T>): Promise<T> {
  const trials = new Trials(options);
  try {
    return await use(trials);
  } finally {
    trials.end();
  }
}
