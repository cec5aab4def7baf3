import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';

/** The compiled command line. */
export const CLI = compiledFile(import.meta.url, '../../cli/main.ts');

/** How a command line is run. */
export interface CliOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Standard input; none when absent. */
  readonly input?: Uint8Array | string;
  /** The command under which it runs, as `nsenter`. */
  readonly under?: readonly string[];
  /** Whether Node opens a channel to it. */
  readonly ipc?: boolean;
}

/** A command that has ended. */
export interface CliResult {
  /** Null where a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export class RunningCli {
  readonly child: ChildProcess;
  #stdout = '';
  #stderr = '';
  readonly #exit: Promise<unknown>;

  constructor(args: readonly string[], { env = {}, cwd, input, under = [], ipc = false }: CliOptions = {}) {
    // Settings of the user who runs the tests must not have an effect.
    const own = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('TESSERA_') && name !== 'STATE_DIRECTORY',
    );
    const [command, ...words] = [...under, process.execPath, CLI, ...args];
    this.child = spawn(command!, words, {
      env: { ...Object.fromEntries(own), ...env },
      ...(cwd === undefined ? {} : { cwd }),
      stdio: ['pipe', 'pipe', 'pipe', ...(ipc ? ['ipc' as const] : [])],
    });
    // A test may wait for many outputs.
    this.child
      .stdout!.setMaxListeners(0)
      .setEncoding('utf8')
      .on('data', (text: string) => {
        this.#stdout += text;
      });
    this.child
      .stderr!.setMaxListeners(0)
      .setEncoding('utf8')
      .on('data', (text: string) => {
        this.#stderr += text;
      });
    this.#exit = once(this.child, 'close');
    // The command may end without reading its input.
    this.child.stdin!.on('error', () => {});
    this.child.stdin!.end(input);
  }

  /** Resolves with the match of `pattern` in what was printed to standard output or error; rejects when the command ends without it. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr);
      if (match !== null) return match;
      const more = [once(this.child.stdout!, 'data'), once(this.child.stderr!, 'data')];
      if ((await Promise.race([...more, this.#exit.then(() => 'end')])) === 'end') {
        throw new Error(`ended without printing ${pattern}:\n${this.#stdout}\n${this.#stderr}`);
      }
    }
  }

  /** What was printed to standard error so far. */
  get printedSoFar(): string {
    return this.#stderr;
  }

  async ended(): Promise<CliResult> {
    await this.#exit;
    return { code: this.child.exitCode, signal: this.child.signalCode, stdout: this.#stdout, stderr: this.#stderr };
  }

  /** Sends a signal and resolves when the command has ended. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<CliResult> {
    this.child.kill(signal);
    return this.ended();
  }
}

/** Runs `tessera ARGS` from dist/ to its end. */
export function runCli(args: readonly string[], options?: CliOptions): Promise<CliResult> {
  return new RunningCli(args, options).ended();
}
