import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TesseraError } from '../../shared/errors.ts';

/**
 * Control groups of the emulated devices, versions 1 and 2 (Documentation/admin-guide of Linux): CPU bandwidth with a
 * short period, since the quota of a whole period may be used at once after idleness; memory without swap.
 */

/** Length of a period, µs. */
const PERIOD_US = 10_000;
/** The kernel takes no smaller quota, µs. */
const LEAST_QUOTA_US = 1000;
const REMOVAL_MS = 3000;

/** What a device has. */
export interface DeviceLimits {
  /** CPU time per time; undefined: all cores. */
  readonly cores: number | undefined;
  readonly memoryMb: number;
}

/** A file of a group, the controller whose it is, and what is written into it. */
interface Setting {
  readonly controller: 'cpu' | 'memory';
  readonly file: string;
  readonly text: string;
  /** Kernels without swap accounting do not have it. */
  readonly optional?: boolean;
}

/** Quota and period of a share of cores, µs: 10 ms, or longer where the quota would be less than the kernel takes. */
export function bandwidth(cores: number): { readonly quotaUs: number; readonly periodUs: number } {
  const periodUs = Math.max(PERIOD_US, Math.ceil(LEAST_QUOTA_US / cores));
  return { quotaUs: Math.round(cores * periodUs), periodUs };
}

/** The settings of a CPU limit, in the order in which they are written. */
export function cpuSettings(version: 1 | 2, cores: number | undefined): readonly Setting[] {
  const { quotaUs, periodUs } = cores === undefined ? { quotaUs: -1, periodUs: PERIOD_US } : bandwidth(cores);
  if (version === 2)
    return [{ controller: 'cpu', file: 'cpu.max', text: `${quotaUs < 0 ? 'max' : quotaUs} ${periodUs}` }];
  return [
    // A longer period may come before or after its quota, but no state between may exceed the parent's.
    { controller: 'cpu', file: 'cpu.cfs_quota_us', text: '-1' },
    { controller: 'cpu', file: 'cpu.cfs_period_us', text: String(periodUs) },
    { controller: 'cpu', file: 'cpu.cfs_quota_us', text: String(quotaUs) },
  ];
}

/** The settings of a memory limit without swap, in the order in which they are written. */
export function memorySettings(version: 1 | 2, memoryMb: number): readonly Setting[] {
  const bytes = String(memoryMb * 1e6);
  return version === 2
    ? [
        { controller: 'memory', file: 'memory.max', text: bytes },
        { controller: 'memory', file: 'memory.swap.max', text: '0', optional: true },
      ]
    : [
        { controller: 'memory', file: 'memory.limit_in_bytes', text: bytes },
        { controller: 'memory', file: 'memory.memsw.limit_in_bytes', text: bytes, optional: true },
      ];
}

/** Where the controllers are mounted. */
export interface Hierarchy {
  readonly version: 1 | 2;
  readonly cpu: string;
  readonly cpuacct: string;
  readonly memory: string;
}

/** Reads /proc/self/mountinfo; undefined where the controllers are not mounted. */
export function hierarchyOf(mountinfo: string): Hierarchy | undefined {
  const mounts = mountinfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const [type = '', , options = ''] = after?.split(' ') ?? [];
    const path = before?.split(' ')[4];
    return path === undefined ? [] : [{ type, path, controllers: options.split(',') }];
  });
  const v1 = (name: string): string | undefined =>
    mounts.find(({ type, controllers }) => type === 'cgroup' && controllers.includes(name))?.path;
  const [cpu, cpuacct, memory] = [v1('cpu'), v1('cpuacct'), v1('memory')];
  if (cpu !== undefined && cpuacct !== undefined && memory !== undefined) return { version: 1, cpu, cpuacct, memory };
  const path = mounts.find(({ type }) => type === 'cgroup2')?.path;
  return path === undefined ? undefined : { version: 2, cpu: path, cpuacct: path, memory: path };
}

/** The groups of this machine. Throws TESSERA_USAGE where they cannot be made. */
export class ControlGroups {
  readonly #hierarchy: Hierarchy;

  private constructor(hierarchy: Hierarchy) {
    this.#hierarchy = hierarchy;
  }

  static open(): ControlGroups {
    const reason = (text: string): TesseraError =>
      new TesseraError('TESSERA_USAGE', `no emulated devices: ${text}`, {
        hint: 'the testbed needs Linux, root, and the CPU and memory controllers of control groups',
      });
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      throw reason('control groups and network namespaces need root on Linux');
    const hierarchy = hierarchyOf(readFileSync('/proc/self/mountinfo', 'utf8'));
    if (hierarchy === undefined) throw reason('no control groups are mounted');
    if (hierarchy.version === 2) {
      try {
        writeFileSync(join(hierarchy.cpu, 'cgroup.subtree_control'), '+cpu +memory');
      } catch (error) {
        throw reason(`the controllers cpu and memory cannot be used: ${(error as Error).message}`);
      }
    }
    return new ControlGroups(hierarchy);
  }

  /** Makes a group. */
  make(name: string, { cores, memoryMb }: DeviceLimits): ControlGroup {
    const group = new ControlGroup(this.#hierarchy, name);
    group.create();
    group.limitMemory(memoryMb);
    group.limitCpu(cores);
    return group;
  }

  /** The groups whose names begin like this: those of an earlier run. */
  named(prefix: string): ControlGroup[] {
    const names = new Set(
      [this.#hierarchy.cpu, this.#hierarchy.cpuacct, this.#hierarchy.memory]
        .flatMap((folder) => readdirSync(folder))
        .filter((name) => name.startsWith(prefix)),
    );
    return [...names].map((name) => new ControlGroup(this.#hierarchy, name));
  }
}

/** The group of one device. */
export class ControlGroup {
  readonly name: string;
  readonly #version: 1 | 2;
  readonly #folders: Readonly<Record<'cpu' | 'cpuacct' | 'memory', string>>;

  constructor({ version, cpu, cpuacct, memory }: Hierarchy, name: string) {
    this.name = name;
    this.#version = version;
    this.#folders = { cpu: join(cpu, name), cpuacct: join(cpuacct, name), memory: join(memory, name) };
  }

  get #distinct(): string[] {
    return [...new Set(Object.values(this.#folders))];
  }

  create(): void {
    for (const folder of this.#distinct) mkdirSync(folder);
  }

  /** The files that take the id of a process which joins the group. */
  get joins(): string[] {
    return this.#distinct.map((folder) => join(folder, 'cgroup.procs'));
  }

  limitCpu(cores: number | undefined): void {
    this.#write(cpuSettings(this.#version, cores));
  }

  limitMemory(memoryMb: number): void {
    this.#write(memorySettings(this.#version, memoryMb));
  }

  /** CPU time of the group so far, ms. */
  cpuMs(): number {
    if (this.#version === 1) return Number(readFileSync(join(this.#folders.cpuacct, 'cpuacct.usage'), 'utf8')) / 1e6;
    const usage = /^usage_usec (\d+)/m.exec(readFileSync(join(this.#folders.cpu, 'cpu.stat'), 'utf8'));
    return Number(usage?.[1]) / 1000;
  }

  /** Ends all its processes and removes it; throws where that takes too long. */
  async remove(): Promise<void> {
    const until = performance.now() + REMOVAL_MS;
    for (const folder of this.#distinct) {
      while (existsSync(folder)) {
        try {
          for (const pid of readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n')) if (pid !== '') end(pid);
          rmdirSync(folder);
        } catch (error) {
          // Processes need a moment to go.
          if (performance.now() > until) throw error;
          await sleep(20);
        }
      }
    }
  }

  #write(settings: readonly Setting[]): void {
    for (const { controller, file, text, optional } of settings) {
      const path = join(this.#folders[controller], file);
      if (optional !== true || existsSync(path)) writeFileSync(path, text);
    }
  }
}

function end(pid: string): void {
  try {
    process.kill(Number(pid), 'SIGKILL');
  } catch {
    // It has ended.
  }
}
