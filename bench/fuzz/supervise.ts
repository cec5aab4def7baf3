import { fork } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import { corpusOf } from './corpus.ts';
import { type Finding, Inputs, type Tally } from './engine.ts';
import type { FuzzTarget } from './target.ts';

/** One run of a target in a process of its own. */
export interface Assignment {
  readonly seed: number;
  readonly from: number;
  readonly inputs: number;
  readonly seconds: number;
  /** CPU time that one input may take before the process is killed, ms. */
  readonly hangMs: number;
}

/** The result as the other process sends it. */
type Sent = Omit<Tally, 'findings'> & { readonly findings: readonly (Omit<Finding, 'input'> & { input: string })[] };

/** The result of the process, or the input at which it died or hung. */
export type Outcome = { readonly tally: Tally } | { readonly death: Finding; readonly index: number };

const LOOK_MS = 250;
/** Wall time for one input, as a multiple of the CPU time that it may take: a deadlock takes none. */
const PATIENCE = 10;
/** Linux counts a process's CPU time in ticks of 10 ms (USER_HZ). */
const TICK_MS = 10;

/** CPU time that a process has had, ms; 0 where /proc does not say. */
function cpuMsOf(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return 0;
  }
}
/** Megabytes of JavaScript heap; reaching it ends the process, which is a finding. */
const HEAP_MB = 512;

/** Runs one target and watches it. */
export async function superviseTarget(target: FuzzTarget, assignment: Assignment): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'tessera-fuzz-'));
  const progress = join(folder, 'progress');
  const { seed, from, inputs, seconds, hangMs } = assignment;
  const child = fork(
    compiledFile(import.meta.url, './fuzz-worker.ts'),
    [target.name, seed, from, inputs, seconds, progress].map(String),
    { execArgv: ['--expose-gc', `--max-old-space-size=${HEAP_MB}`], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
  );
  let errors = '';
  child.stderr!.on('data', (chunk) => {
    errors = (errors + String(chunk)).slice(-4000);
  });
  const numberNow = (): number | undefined => {
    try {
      return Number(readFileSync(progress).readBigInt64LE(0));
    } catch {
      return undefined;
    }
  };
  let said: Tally | undefined;
  child.on('message', (message) => {
    const tally = message as Sent;
    const findings = tally.findings.map((one) => ({ ...one, input: new Uint8Array(Buffer.from(one.input, 'base64')) }));
    said = { ...tally, findings };
  });
  let stuck = false;
  const now = () => ({ number: numberNow(), cpuMs: cpuMsOf(child.pid!), at: performance.now() });
  let last = now();
  const look = setInterval(() => {
    const latest = now();
    // The machine may be busy with something else: what counts is the time that the process itself has had.
    const isBusy = latest.cpuMs - last.cpuMs > hangMs;
    if (latest.number !== last.number) last = latest;
    else if (isBusy || latest.at - last.at > PATIENCE * hangMs) {
      stuck = true;
      child.kill('SIGKILL');
    }
  }, LOOK_MS);
  const exit = await new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  clearInterval(look);
  const index = numberNow() ?? -1;
  rmSync(folder, { recursive: true });
  if (said !== undefined) return { tally: said };
  const inputsOf = new Inputs(target, [...(await target.seeds()), ...corpusOf(target.name)], seed);
  const input = index < 0 ? new Uint8Array(0) : inputsOf.at(index);
  const what = stuck ? `stands still for more than ${hangMs} ms` : `the process ended: ${exit}\n${errors}`;
  return { death: { index, kind: stuck ? 'slow' : 'crash', what, input }, index };
}
