import { readdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { clusterFile, readClusterFile } from '../../../bench/testbed/cluster-file.ts';

describe('files of emulated clusters', () => {
  it('have by default eight nodes of 0.15 core at 100 Mbit/s', () => {
    const { nodes, device, base, events } = clusterFile.parse({ version: 1 });
    expect({ nodes, device, base, events }).toEqual({
      nodes: 8,
      device: { cores: 0.15, memory_mb: 2000, mbps: 100 },
      base: { cores: 0.15, memory_mb: 4000, mbps: 100 },
      events: [],
    });
  });

  it('are read, as the examples are', async () => {
    const examples = (await readdir('bench/testbed')).filter((name) => name.endsWith('.yaml'));
    expect(examples.length).toBeGreaterThan(0);
    for (const name of examples) expect((await readClusterFile(`bench/testbed/${name}`)).version).toBe(1);
  });

  it('refuse what would have no effect', () => {
    const slow = { do: 'slow', frame: 25, nodes: [5], factor: 0.5 };
    expect(clusterFile.safeParse({ version: 1, events: [slow] }).success).toBe(true);
    for (const wrong of [
      { version: 1, nodse: 8 },
      { version: 1, events: [{ ...slow, factor: 0 }] },
      { version: 1, events: [{ ...slow, mbps: 10 }] },
      { version: 1, events: [{ ...slow, nodes: [] }] },
      { version: 2 },
    ])
      expect(clusterFile.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false);
  });
});
