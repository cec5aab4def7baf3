import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A Mosquitto on a free loopback port. */
export interface Mosquitto {
  readonly url: string;
  readonly port: number;
  /** Ends it and removes its files; idempotent. */
  stop(): Promise<void>;
  /** kill -9: without a goodbye to clients. */
  kill(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

/** The reason of a skipped test. */
export const NO_MOSQUITTO = 'mosquitto is not installed (Debian: apt install mosquitto)';

/** How Mosquitto is started. */
export interface MosquittoOptions {
  readonly port?: number;
  /** Further lines of its file. */
  readonly extra?: readonly string[];
  /** Folder for persistence; absent: no persistence. */
  readonly persistence?: string | undefined;
}

/** The lines of docs/operations.md for a Mosquitto that keeps what it has acknowledged. */
const PERSISTENT = ['persistence true', 'autosave_on_changes true', 'autosave_interval 1'];

/** Starts Mosquitto for one test file; undefined where it is not installed. */
export async function startMosquitto({
  port = 0,
  extra = [],
  persistence,
}: MosquittoOptions = {}): Promise<Mosquitto | undefined> {
  const chosen = port === 0 ? await freePort() : port;
  const folder = await mkdtemp(join(tmpdir(), 'tessera-mosquitto-'));
  const file = join(folder, 'mosquitto.conf');
  // Without a user line a mosquitto that root starts drops to its own user, who cannot read the folder.
  const user = process.getuid?.() === 0 ? ['user root'] : [];
  const lines = [
    `listener ${chosen} 127.0.0.1`,
    'allow_anonymous true',
    ...(persistence === undefined ? ['persistence false'] : [...PERSISTENT, `persistence_location ${persistence}/`]),
    'set_tcp_nodelay true',
    'max_queued_messages 10000',
    'log_type error',
    ...user,
    ...extra,
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const child = spawn('mosquitto', ['-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/usr/local/sbin` },
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  const failed = new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    child.once('error', resolve);
    child.once('exit', () => resolve(undefined));
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= ended(child).then(() => rm(folder, { recursive: true, force: true }));
    return stopped;
  };
  const outcome = await Promise.race([failed.then((error) => ({ error })), accepts(chosen)]);
  if (outcome === undefined) {
    const killed = async (): Promise<void> => {
      child.kill('SIGKILL');
      await stop();
    };
    return {
      url: `mqtt://127.0.0.1:${chosen}`,
      port: chosen,
      stop,
      kill: killed,
      signal: (signal) => void child.kill(signal),
    };
  }
  await stop();
  if (outcome.error?.code === 'ENOENT') return undefined;
  throw new Error(`mosquitto did not start: ${outcome.error?.message ?? errors}`);
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 2000);
  await gone;
  clearTimeout(timer);
}

/** A port that nothing listens on at the moment, below those that systems give to outgoing connections and to port 0. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(22_000 * Math.random());
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Resolves once the port accepts; there is no other sign of readiness that all versions give. */
async function accepts(port: number): Promise<undefined> {
  for (;;) {
    const socket = createConnection(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (open) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
