import { type ChildProcess, spawn } from 'node:child_process';
import { TesseraError } from '../../errors.ts';
import { plain } from '../../log-throttle.ts';
import { hideSecrets } from '../../redact.ts';
import { processCpuMs } from '../../runtime/process-cpu.ts';
import type { Program } from '../programs.ts';
import type { Source, StreamFacts } from '../source.ts';
import { factsOfLine } from '../stream-facts.ts';
import { streamSource } from '../stream-source.ts';

/** A program that does not end by itself after this long is killed, ms. */
const END_MS = 2000;
/** Characters of what a program says that are kept. */
const SAID = 4000;
/** Of one that lists something: characters, and how long it may take, ms. */
const ALL_SAID = 64 * 1024;
const ALL_SAID_MS = 5000;

/** Where Debian and its relatives have the programs. */
const PACKAGES = { ffmpeg: 'ffmpeg', 'rpicam-vid': 'rpicam-apps' } as const;

/**
 * A camera that a program reads; it ends with the program, and throws what the program said last. `secrets` are hidden
 * in it. The program gets no environment of ours, which may hold passwords too.
 */
export function programSource({ command, args, input }: Program, secrets: readonly string[]): Source {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment() });
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(whyNotStarted(command, error)));
    child.on('close', (code, signal) => resolve(whyEnded(command, code, signal, hideSecrets(said, secrets))));
  });
  let said = '';
  let facts: StreamFacts = {};
  let isStopped = false;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-SAID);
    // The stream that is read comes before the one that is written.
    if (facts.codec === undefined)
      for (const line of said.split('\n').slice(0, -1))
        facts = facts.codec === undefined ? (factsOfLine(line) ?? facts) : facts;
  });
  // A program that ends early has not read it.
  child.stdin.on('error', () => {}).end(input);
  const pictures = streamSource(child.stdout);
  return {
    flows: true,
    get facts() {
      return facts;
    },
    async next() {
      const shot = await pictures.next();
      if (shot !== undefined || isStopped) return shot;
      throw new TesseraError('TESSERA_INPUT_INVALID', await ended);
    },
    async stop() {
      isStopped = true;
      await end(child);
    },
    cpuMs: async () => (child.pid === undefined ? undefined : processCpuMs(child.pid)),
  };
}

/** What a program says on its standard error until it ends, or for `ALL_SAID_MS`; nothing where it cannot be started. */
export async function allSaid({ command, args }: Program): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: environment(), timeout: ALL_SAID_MS });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-ALL_SAID);
  });
  await new Promise<void>((resolve) => child.once('error', () => resolve()).once('close', () => resolve()));
  return said;
}

function environment(): NodeJS.ProcessEnv {
  const { PATH, HOME, LD_LIBRARY_PATH } = process.env;
  return { PATH, HOME, LD_LIBRARY_PATH };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const late = setTimeout(() => child.kill('SIGKILL'), END_MS);
  child.kill('SIGTERM');
  child.stdout?.destroy();
  await closed;
  clearTimeout(late);
}

function whyNotStarted(command: Program['command'], error: Error): string {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return `${command} cannot be started: ${error.message}`;
  return `${command} is not installed: \`apt-get install ${PACKAGES[command]}\``;
}

function whyEnded(command: string, code: number | null, signal: string | null, said: string): string {
  // What it says last then is a summary of what it wrote.
  if (code === 0) return 'its stream has ended';
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
  const lines = said.split('\n').filter((line) => line.trim() !== '');
  // The name under which ffmpeg knows a source whose URL it was given by standard input.
  const last = lines.at(-1)?.replace(/^pipe:0: /, '') ?? 'it said nothing';
  return plain(`${command} ${how}: ${last}`);
}
