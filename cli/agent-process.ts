import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Log } from '../shared/ports.ts';
import { compiledFile } from '../shared/runtime/worker-entry.ts';

/** How a node agent on this machine reaches its broker. */
export interface AgentProcessOptions {
  readonly id: string;
  readonly broker: string;
  readonly base: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly threads: number;
  /** Further settings of the connection, as environment variables. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly stateDir: string;
  readonly log: Log;
}

/** A node agent in a process of its own. */
export interface AgentProcess {
  readonly id: string;
  readonly pid: number;
  /** Resolves when the process has ended. */
  readonly ended: Promise<unknown>;
  readonly hasEnded: boolean;
  /** Sends SIGTERM, and after 8 s SIGKILL. Idempotent. */
  stop(): Promise<void>;
}

/** Starts `tessera agent` as a child that ends with this process, even when this process is killed. */
export function startAgentProcess(options: AgentProcessOptions): AgentProcess {
  const { id, broker, base, user, password, threads, stateDir, log } = options;
  // A process list must not show password or user name.
  const url = new URL(broker);
  const said = {
    user: user ?? decodeURIComponent(url.username),
    password: password ?? decodeURIComponent(url.password),
  };
  url.username = '';
  url.password = '';
  const main = compiledFile(import.meta.url, './main.ts');
  const child: ChildProcess = spawn(
    process.execPath,
    [main, 'agent', '--broker', url.href.replace(/\/$/, ''), '--id', id, '--threads', String(threads)],
    {
      // The channel is how the child notices that its parent is gone.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: {
        ...process.env,
        STATE_DIRECTORY: stateDir,
        TESSERA_MQTT__BASE_TOPIC: base,
        ...options.env,
        ...(said.user === '' ? {} : { TESSERA_MQTT__USER: said.user }),
        ...(said.password === '' ? {} : { TESSERA_MQTT__PASSWORD: said.password }),
        TESSERA_LOG__LEVEL: process.env.TESSERA_LOG__LEVEL ?? 'warn',
      },
    },
  );
  let stopping = false;
  const ended = once(child, 'exit');
  child.on('exit', (code, signal) => {
    if (!stopping) log.error(`node ${id} ended by itself (${signal ?? `exit code ${code}`})`);
  });
  return {
    id,
    pid: child.pid!,
    ended,
    get hasEnded() {
      return child.exitCode !== null || child.signalCode !== null;
    },
    async stop() {
      if (!stopping) {
        stopping = true;
        child.kill('SIGTERM');
      }
      const timer = setTimeout(() => child.kill('SIGKILL'), 8000);
      if (child.exitCode === null && child.signalCode === null) await ended;
      clearTimeout(timer);
    },
  };
}
