import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, freemem } from 'node:os';
import { join } from 'node:path';
import { machineLimits } from '../../shared/runtime/machine-limits.ts';
import { packageFolder } from '../../shared/runtime/version.ts';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import type { MachineFacts, Trial } from './machine.ts';

const TRIAL_S = 30;

/** Looks at this machine; native code is tried in child processes, so that a crash of theirs is a finding. */
export async function lookAtMachine(): Promise<MachineFacts> {
  // One after the other: a small board has memory for one.
  const onnxruntime = await tryNative('onnxruntime');
  const sharp = await tryNative('sharp');
  const manifest = JSON.parse(await readFile(join(packageFolder(), 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  const { memoryBytes, isLimited, usedBytes = 0, cores } = machineLimits();
  return {
    node: process.versions.node,
    wantedNode: manifest.engines.node,
    platform: process.platform,
    arch: process.arch,
    glibc: process.platform === 'linux' ? glibcVersion() : undefined,
    onnxruntime,
    sharp,
    memoryMb: memoryBytes / 1e6,
    availableMb: Math.min(memoryBytes - usedBytes, await availableBytes()) / 1e6,
    memoryIsLimited: isLimited,
    cores,
    processors: availableParallelism(),
    now: Date.now() / 1000,
    synchronised: existsSync('/run/systemd/timesync') ? existsSync('/run/systemd/timesync/synchronized') : undefined,
  };
}

/** Runs one trial of trial-worker.ts in a process of its own. `script` is for tests. */
export function tryNative(
  what: 'onnxruntime' | 'sharp',
  script = compiledFile(import.meta.url, './trial-worker.ts'),
): Promise<Trial> {
  return new Promise((resolve) => {
    const options = { timeout: TRIAL_S * 1000, killSignal: 'SIGKILL' } as const;
    const child = execFile(process.execPath, [script, what], options, (error, stdout, stderr) => {
      const answer = readAnswer(stdout);
      if (answer !== undefined) resolve({ kind: answer.ok ? 'ok' : 'failed', said: answer.said });
      else if (error?.killed === true) resolve({ kind: 'silent', seconds: TRIAL_S });
      else resolve({ kind: 'crashed', signal: child.signalCode, code: child.exitCode, stderr });
    });
  });
}

function readAnswer(stdout: string): { ok: boolean; said: string } | undefined {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { ok: boolean; said: string };
  } catch {
    return undefined;
  }
}

function glibcVersion(): string | undefined {
  // Without it the report looks up the name of every open connection.
  Object.assign(process.report, { excludeNetwork: true });
  const { header } = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return header.glibcVersionRuntime;
}

/** Memory that programs can still have: on Linux with what caches give back. */
async function availableBytes(): Promise<number> {
  const text = await readFile('/proc/meminfo', 'utf8').catch(() => '');
  const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1];
  return kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
}
