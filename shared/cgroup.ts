/**
 * The limits of a Linux control group for a process (containers, `MemoryMax=` and `CPUQuota=` of systemd). Each group
 * from the process's own up to the root may have a limit, and the tightest one counts.
 *
 * Version 2 keeps everything in one tree (memory.max, memory.high, cpu.max), version 1 has a tree for each controller
 * (memory.limit_in_bytes, cpu.cfs_quota_us); hybrid systems have both. cgroups(7), Documentation/admin-guide.
 */

/** Reads a file of one control group; undefined where it does not exist. */
export type GroupFiles = (name: string) => string | undefined;

/** Folders of the groups that a process is in, its own one first, by controller. */
export interface GroupFolders {
  readonly memory: readonly string[];
  readonly cpu: readonly string[];
}

/** The memory of the group with the tightest limit, bytes. */
export interface GroupMemory {
  readonly limit: number;
  /** Without reclaimable caches; undefined where the group does not report it. */
  readonly used: number | undefined;
}

interface Mount {
  readonly root: string;
  readonly at: string;
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
}

/** Version 1 writes "no limit" as the largest number of pages, more than any machine has. */
const NO_LIMIT = 2 ** 60;

/** The folders of the process's groups, from /proc/self/cgroup and /proc/self/mountinfo. */
export function groupFolders(cgroup: string, mountinfo: string): GroupFolders {
  const mounts = mountsOf(mountinfo);
  const groups = cgroup
    .split('\n')
    .map((line) => /^(\d+):([^:]*):(\/.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, , controllers, path]) => ({ controllers: controllers!.split(','), path: path! }));
  const foldersOf = (controller: string): string[] =>
    groups.flatMap(({ controllers, path }) => {
      const isUnified = controllers.length === 1 && controllers[0] === '';
      if (!isUnified && !controllers.includes(controller)) return [];
      const mount = mounts.find((one) => (isUnified ? one.version === 2 : one.controllers.includes(controller)));
      return mount === undefined ? [] : upwards(mount, path);
    });
  return { memory: foldersOf('memory'), cpu: foldersOf('cpu') };
}

/** The tightest memory limit of these groups; undefined where none has one. */
export function groupMemory(groups: readonly GroupFiles[]): GroupMemory | undefined {
  const limited = groups.flatMap((files) => {
    const limits = ['memory.max', 'memory.high', 'memory.limit_in_bytes'].map((name) => numberOf(files(name)));
    const limit = Math.min(...limits.filter((one) => one !== undefined && one > 0 && one < NO_LIMIT).map(Number));
    return Number.isFinite(limit) ? [{ limit, files }] : [];
  });
  const [tightest] = limited.sort((a, b) => a.limit - b.limit);
  if (tightest === undefined) return undefined;
  return { limit: tightest.limit, used: usedBy(tightest.files) };
}

/** Processors' worth of time that these groups allow; undefined where none has a limit. */
export function groupCpus(groups: readonly GroupFiles[]): number | undefined {
  const shares = groups.flatMap((files) => {
    const [quota, period] = files('cpu.max')?.trim().split(/\s+/) ?? [
      files('cpu.cfs_quota_us'),
      files('cpu.cfs_period_us'),
    ];
    const [time, of] = [numberOf(quota), numberOf(period)];
    return time !== undefined && of !== undefined && time > 0 && of > 0 ? [time / of] : [];
  });
  return shares.length === 0 ? undefined : Math.min(...shares);
}

/** Used memory that cannot be reclaimed by dropping caches. */
function usedBy(files: GroupFiles): number | undefined {
  const used = numberOf(files('memory.current') ?? files('memory.usage_in_bytes'));
  if (used === undefined) return undefined;
  const stat = files('memory.stat') ?? '';
  const cached = /^total_inactive_file (\d+)$/m.exec(stat)?.[1] ?? /^inactive_file (\d+)$/m.exec(stat)?.[1];
  return Math.max(0, used - Number(cached ?? 0));
}

function numberOf(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  return /^-?\d+$/.test(trimmed) ? Number(trimmed) : undefined;
}

/** proc(5): `id parent major:minor root mount-point options [fields...] - type source super-options`. */
function mountsOf(mountinfo: string): Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const [, , , root, at] = before?.split(' ') ?? [];
    const [type, , options] = after?.split(' ') ?? [];
    if (root === undefined || at === undefined || (type !== 'cgroup' && type !== 'cgroup2')) return [];
    const version = type === 'cgroup2' ? 2 : 1;
    return [
      { root: plain(root), at: plain(at), version, controllers: version === 1 ? (options ?? '').split(',') : [] },
    ];
  });
}

/** Spaces and backslashes are escaped as octal numbers there. */
function plain(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The folder of a group and its parents, as far as they are mounted. */
function upwards({ root, at }: Mount, path: string): string[] {
  const base = root === '/' ? '' : root;
  // In a container the mount may begin at the container's own group, or the path lead outside the visible part.
  const isInside = path === base || path.startsWith(`${base}/`);
  const names =
    isInside && !path.includes('/..')
      ? path
          .slice(base.length)
          .split('/')
          .filter((name) => name !== '')
      : [];
  return Array.from({ length: names.length + 1 }, (_, up) => [at, ...names.slice(0, names.length - up)].join('/'));
}
