import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import type { CameraReport, CameraTask } from './camera-worker.ts';

/** Linux counts a process's CPU time in ticks of 10 ms (USER_HZ). */
const TICK_MS = 10;
const PAGE_BYTES = 4096;

/** CPU time that a process has had, user and system, ms (proc(5): utime and stime are the 14th and 15th field). */
export function cpuMs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** Memory of a process that is in RAM, bytes. */
export function residentBytes(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES;
}

/** The built-in broker as a process of its own. */
export async function startBrokerProcess(): Promise<{ url: string; pid: number; stop(): Promise<unknown> }> {
  const main = compiledFile(import.meta.url, '../../cli/main.ts');
  const child = spawn(process.execPath, [main, 'broker', '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
      const found = /broker: (mqtt:\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`the broker ended: ${said}`)));
  });
  const stop = (): Promise<unknown> => {
    child.kill('SIGTERM');
    return ended;
  };
  return { url, pid: child.pid!, stop };
}

/** Runs a camera to its end; `onBegin` is called when its warm-up is over. */
export async function runCamera(task: CameraTask, onBegin: () => void): Promise<CameraReport> {
  const script = compiledFile(import.meta.url, './camera-worker.ts');
  const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  let last = '';
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'begin') onBegin();
    else last = line;
  }
  await ended;
  if (child.exitCode !== 0) throw new Error(`the camera ended with ${child.exitCode ?? child.signalCode}`);
  return JSON.parse(last) as CameraReport;
}

/** The middle value; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
