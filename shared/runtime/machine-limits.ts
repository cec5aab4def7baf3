import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { type GroupFiles, type GroupFolders, groupCpus, groupFolders, groupMemory } from '../cgroup.ts';

/** The resources of this machine that this process may use. */
export interface MachineLimits {
  readonly memoryBytes: number;
  /** Whether a control group allows less memory than the machine has. */
  readonly isLimited: boolean;
  /** Bytes in use in the limiting group; undefined where only the whole machine limits. */
  readonly usedBytes: number | undefined;
  /** Threads that can compute at a time, 1 or more. */
  readonly cores: number;
}

let folders: GroupFolders | undefined;

/** Reads the machine's resources and the limits of this process's control groups. Takes some tens of microseconds. */
export function machineLimits(): MachineLimits {
  folders ??= groupFolders(read('/proc/self/cgroup') ?? '', read('/proc/self/mountinfo') ?? '');
  const memory = groupMemory(folders.memory.map(filesOf));
  const cpus = groupCpus(folders.cpu.map(filesOf));
  const isLimited = memory !== undefined && memory.limit < totalmem();
  return {
    memoryBytes: isLimited ? memory.limit : totalmem(),
    isLimited,
    usedBytes: isLimited ? memory.used : undefined,
    cores: Math.max(1, Math.min(availableParallelism(), Math.floor(cpus ?? Number.POSITIVE_INFINITY))),
  };
}

const filesOf =
  (folder: string): GroupFiles =>
  (name) =>
    read(join(folder, name));

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
