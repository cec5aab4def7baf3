import { describe, expect, it } from 'vitest';
import { bandwidth, cpuSettings, hierarchyOf, memorySettings } from '../../../bench/testbed/control-groups.ts';

const texts = (settings: ReturnType<typeof cpuSettings>) => settings.map(({ file, text }) => [file, text]);

describe('control groups', () => {
  it('have a period of 10 ms, since the quota of a period is free after idleness', () => {
    expect(bandwidth(0.15)).toEqual({ quotaUs: 1500, periodUs: 10_000 });
    expect(bandwidth(2)).toEqual({ quotaUs: 20_000, periodUs: 10_000 });
  });

  it('have a longer one where the kernel would refuse the quota', () => {
    expect(bandwidth(0.075)).toEqual({ quotaUs: 1000, periodUs: 13_334 });
  });

  it('are limited in both versions', () => {
    expect(texts(cpuSettings(2, 0.15))).toEqual([['cpu.max', '1500 10000']]);
    expect(texts(cpuSettings(2, undefined))).toEqual([['cpu.max', 'max 10000']]);
    expect(texts(cpuSettings(1, 0.15)).at(-1)).toEqual(['cpu.cfs_quota_us', '1500']);
    expect(texts(cpuSettings(1, undefined)).at(-1)).toEqual(['cpu.cfs_quota_us', '-1']);
  });

  it('never swap', () => {
    expect(texts(memorySettings(2, 2000))).toContainEqual(['memory.swap.max', '0']);
    // The limit of memory and swap together may not be below that of memory.
    expect(texts(memorySettings(1, 2000))).toEqual([
      ['memory.limit_in_bytes', '2000000000'],
      ['memory.memsw.limit_in_bytes', '2000000000'],
    ]);
  });

  it('are found where controllers have mounts of their own, or common ones, or one tree', () => {
    const mount = (path: string, type: string, options: string) =>
      `30 24 0:26 / ${path} rw,nosuid shared:9 - ${type} ${type} rw,${options}`;
    const apart = ['cpu', 'cpuacct', 'memory'].map((name) => mount(`/g/${name}`, 'cgroup', name));
    expect(hierarchyOf(apart.join('\n'))).toEqual({
      version: 1,
      cpu: '/g/cpu',
      cpuacct: '/g/cpuacct',
      memory: '/g/memory',
    });
    const together = [mount('/g/both', 'cgroup', 'cpu,cpuacct'), mount('/g/memory', 'cgroup', 'memory')];
    expect(hierarchyOf([...together, mount('/g/unified', 'cgroup2', 'nsdelegate')].join('\n'))).toEqual({
      version: 1,
      cpu: '/g/both',
      cpuacct: '/g/both',
      memory: '/g/memory',
    });
    expect(hierarchyOf(mount('/g', 'cgroup2', 'nsdelegate'))).toEqual({
      version: 2,
      cpu: '/g',
      cpuacct: '/g',
      memory: '/g',
    });
    expect(hierarchyOf(mount('/tmp', 'tmpfs', 'size=1k'))).toBeUndefined();
  });
});
