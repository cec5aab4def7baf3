import { describe, expect, it } from 'vitest';
import { type GroupFiles, groupCpus, groupFolders, groupMemory } from '../../shared/cgroup.ts';

// Lost if these fail: a node in a container of 300 MB says that it has 25 GB, is given work for them, and is killed.

const group =
  (files: Readonly<Record<string, string>>): GroupFiles =>
  (name) =>
    files[name];

describe('files of limits', () => {
  const unified = '25 30 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';

  it("version 2: from the process's group up to the root", () => {
    const { memory, cpu } = groupFolders(
      '0::/system.slice/tessera-agent.service\n',
      `21 1 8:1 / / rw - ext4 x rw\n${unified}`,
    );
    expect(memory).toEqual([
      '/sys/fs/cgroup/system.slice/tessera-agent.service',
      '/sys/fs/cgroup/system.slice',
      '/sys/fs/cgroup',
    ]);
    expect(cpu).toEqual(memory);
  });

  it('version 2 in a container with its own namespace', () => {
    expect(groupFolders('0::/\n', unified).memory).toEqual(['/sys/fs/cgroup']);
    // Of a process that entered from outside.
    expect(groupFolders('0::/../user.slice\n', unified).memory).toEqual(['/sys/fs/cgroup']);
  });

  it('version 1: a tree for each controller, mounted from the container on', () => {
    const mounts = [
      '40 35 0:31 /docker/4f2a /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory',
      '41 35 0:32 / /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:16 - cgroup cgroup rw,cpu,cpuacct',
    ].join('\n');
    const { memory, cpu } = groupFolders('9:memory:/docker/4f2a\n4:cpu,cpuacct:/limits/a\n1:name=systemd:/x\n', mounts);
    expect(memory).toEqual(['/sys/fs/cgroup/memory']);
    expect(cpu).toEqual([
      '/sys/fs/cgroup/cpu,cpuacct/limits/a',
      '/sys/fs/cgroup/cpu,cpuacct/limits',
      '/sys/fs/cgroup/cpu,cpuacct',
    ]);
  });

  it('hybrid: both count', () => {
    const mounts = `${unified.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified')}\n32 31 0:9 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`;
    expect(groupFolders('4:memory:/a\n0::/b\n', mounts).memory).toEqual([
      '/sys/fs/cgroup/memory/a',
      '/sys/fs/cgroup/memory',
      '/sys/fs/cgroup/unified/b',
      '/sys/fs/cgroup/unified',
    ]);
  });

  it('a mount point with a space in it', () => {
    expect(groupFolders('0::/\n', '25 30 0:22 / /mnt/my\\040groups rw - cgroup2 none rw').memory).toEqual([
      '/mnt/my groups',
    ]);
  });

  it('none on systems without control groups, and for damaged input', () => {
    expect(groupFolders('', '')).toEqual({ memory: [], cpu: [] });
    expect(groupFolders('0::relative\nx\n:::\n', 'a b c - d\n - cgroup2\n')).toEqual({ memory: [], cpu: [] });
  });
});

describe('memory', () => {
  it('is limited by the lowest limit of all groups up to the root, hard or soft', () => {
    const own = group({ 'memory.max': 'max\n', 'memory.high': '400000000\n', 'memory.current': '90000000\n' });
    const above = group({
      'memory.max': '300000000\n',
      'memory.high': 'max\n',
      'memory.current': '200000000\n',
      'memory.stat': 'anon 150000000\nfile 50000000\ninactive_file 40000000\nactive_file 1\n',
    });
    expect(groupMemory([own, above, group({})])).toEqual({ limit: 300e6, used: 160e6 });
    expect(groupMemory([own])).toEqual({ limit: 400e6, used: 90e6 });
  });

  it('of version 1 includes child groups, and its largest number means no limit', () => {
    const limited = group({
      'memory.limit_in_bytes': '314572800\n',
      'memory.usage_in_bytes': '104857600\n',
      'memory.stat': 'inactive_file 1\ntotal_inactive_file 4857600\n',
    });
    const root = group({ 'memory.limit_in_bytes': '9223372036854771712\n', 'memory.usage_in_bytes': '1\n' });
    expect(groupMemory([limited, root])).toEqual({ limit: 314572800, used: 100000000 });
    expect(groupMemory([root])).toBeUndefined();
  });

  it('without a limit, or with a meaningless one, is not limited', () => {
    for (const text of ['max\n', '', '0\n', '-1\n', 'many\n'])
      expect(groupMemory([group({ 'memory.max': text })])).toBeUndefined();
    expect(groupMemory([])).toBeUndefined();
    expect(groupMemory([group({ 'memory.max': '1000000' })])).toEqual({ limit: 1e6, used: undefined });
  });
});

describe('processors', () => {
  it('are the quota divided by its period, the least of all groups up to the root', () => {
    expect(groupCpus([group({ 'cpu.max': 'max 100000\n' }), group({ 'cpu.max': '150000 100000\n' })])).toBe(1.5);
    expect(groupCpus([group({ 'cpu.cfs_quota_us': '50000\n', 'cpu.cfs_period_us': '100000\n' })])).toBe(0.5);
    expect(groupCpus([group({ 'cpu.cfs_quota_us': '-1\n', 'cpu.cfs_period_us': '100000\n' })])).toBeUndefined();
    expect(groupCpus([group({ 'cpu.max': 'max 100000' }), group({})])).toBeUndefined();
    expect(groupCpus([group({ 'cpu.max': '100000' })])).toBeUndefined();
  });
});
