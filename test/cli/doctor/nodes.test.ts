import { describe, expect, it } from 'vitest';
import { reportLines } from '../../../cli/doctor/check.ts';
import { judgeNodes, type NodesFacts } from '../../../cli/doctor/nodes.ts';
import type { Heartbeat } from '../../../shared/protocol/messages/node.ts';
import type { NodeRecord } from '../../../shared/protocol/node-registry.ts';

const now = 1_763_650_000;
const beat: Heartbeat = {
  v: 1,
  time: now,
  cpu_percent: 12,
  load_average: [0, 0, 0],
  memory_percent: 30,
  memory_used_mb: 1000,
  temp_c: 50,
  throttled: '0x0',
  queue: 0,
  tiles_per_s: 10,
  loop_delay_ms: 1,
  uptime_sec: 5,
};
const pi: NodeRecord = {
  id: 'pi-1',
  online: true,
  info: {
    v: 1,
    id: 'pi-1',
    session: 's',
    boot_id: 'b',
    version: '0.1.0',
    wire: [1, 1],
    tier: 'edge',
    hardware: 'Raspberry Pi 4',
    arch: 'arm64',
    os: 'Linux',
    cores: 4,
    memory_mb: 4000,
    runtime: 'r',
    codecs: [],
    splits: [],
    features: [],
    max_message: 1,
    session_memory_mb: 1000,
    models: [],
  },
  heartbeat: beat,
  heardAt: now * 1000,
};
const healthy: NodesFacts = {
  hidden: [],
  central: true,
  centrals: [
    { id: 'main', state: 'active' },
    { id: 'spare', state: 'standby' },
  ],
  plans: [{ model: 'scenes', since: now - 100 }],
  nodes: [pi],
  version: '0.1.0',
  now,
};
const find = (name: string, facts: Partial<NodesFacts>) =>
  judgeNodes({ ...healthy, ...facts }).find((check) => check.name === name)!;
const judgeNode = (facts: Partial<NodeRecord>) => find('node pi-1', { nodes: [{ ...pi, ...facts }] });
const judgeBeat = (facts: Partial<Heartbeat>) => judgeNode({ heartbeat: { ...beat, ...facts } });

describe('a deployment', () => {
  it('that is well has nothing to fix', () => {
    expect(new Set(judgeNodes(healthy).map(({ status }) => status))).toEqual(new Set(['ok']));
    expect(find('node pi-1', {}).text).toContain('3000 MB free');
    expect(find('central', {}).text).toBe('central main is online and serves scenes; spare stands by');
  });

  it('without central, models or nodes is told so', () => {
    expect(find('central', { central: false }).status).toBe('fail');
    expect(find('central', { plans: [] }).status).toBe('warn');
    expect(find('nodes', { nodes: [] }).status).toBe('warn');
  });

  it('is judged as far as the rights go', () => {
    const asNode = judgeNodes({ ...healthy, hidden: ['plans', 'nodes'], plans: [], nodes: [] });
    expect(asNode.map(({ name, status }) => [name, status])).toEqual([
      ['central', 'ok'],
      ['nodes', 'skip'],
    ]);
    expect(judgeNodes({ ...healthy, hidden: ['plans', 'nodes'], central: false })[0]!.status).toBe('fail');
    expect(judgeNodes({ ...healthy, hidden: ['status', 'plans', 'nodes'] })[0]!.status).toBe('skip');
  });

  it('with a node that keeps silent, is offline, or speaks another wire version is told so', () => {
    expect(judgeNode({ heartbeat: undefined }).status).toBe('fail');
    expect(judgeNode({ online: false })).toMatchObject({
      status: 'warn',
      fix: expect.stringContaining('forget pi-1'),
    });
    expect(judgeNode({ info: { ...pi.info!, wire: [2, 3] } }).status).toBe('fail');
    const versions = find('versions', { nodes: [{ ...pi, info: { ...pi.info!, version: '0.2.0' } }] });
    expect(versions).toMatchObject({ status: 'warn', text: '0.1.0 on this machine; 0.2.0 on pi-1' });
  });

  it.each([
    [{ throttled: '0x50005' }, /under-voltage, throttled now/],
    [{ throttled: '0x50000' }, /under-voltage, throttled since/],
    [{ temp_c: 85 }, /85 degrees/],
    [{ memory_percent: 97 }, /97 %/],
    [{ loop_delay_ms: 4000 }, /did not respond/],
    [{ time: now - 30 }, /30 s behind/],
    [{ time: now + 30 }, /30 s ahead/],
  ])('with a node whose heartbeat says %o is told so', (facts, text) => {
    expect(judgeBeat(facts)).toMatchObject({
      status: 'warn',
      text: expect.stringMatching(text),
      fix: expect.any(String),
    });
  });

  it('with a central whose clock is ahead is told so; one that began long ago says nothing about clocks', () => {
    expect(find('clocks', { plans: [{ model: 'm', since: now + 60 }] })?.status).toBe('warn');
    expect(find('clocks', {})).toBeUndefined();
  });

  it('names a node that was left out for its wrong answers, which nothing else shows', () => {
    const leftOut = new Map([['pi-1', 'it answered wrongly']]);
    expect(find('node pi-1', { leftOut })).toMatchObject({
      status: 'fail',
      text: 'it gets no work: it answered wrongly',
    });
  });

  it('names a node that follows another epoch than the active central, which otherwise looks well and does nothing', () => {
    const centrals = [{ id: 'main', state: 'active', epoch: 100 }];
    const following = (epoch: number) =>
      find('node pi-1', { centrals, nodes: [{ ...pi, heartbeat: { ...beat, epoch } }] });
    expect(following(101)).toMatchObject({ status: 'fail' });
    for (const epoch of [0, 99, 100]) expect(following(epoch)).toMatchObject({ status: 'ok' });
  });
});

describe('a report', () => {
  it('has a line for each check, the way out below it, and a count', () => {
    const lines = reportLines([
      { area: 'machine', name: 'a', status: 'ok', text: 'fine' },
      { area: 'nodes', name: 'long', status: 'fail', text: 'broken', fix: 'fix it' },
      { area: 'nodes', name: 'b', status: 'skip', text: 'not here' },
    ]);
    expect(lines).toEqual([
      'ok    a     fine',
      'fail  long  broken',
      '            -> fix it',
      'skip  b     not here',
      '1 ok, 0 to look at, 1 to fix, 1 skipped',
    ]);
  });
});
