import { expect, test } from 'vitest';
import type { MeasuredNode } from '../../../central/coordinator/measured.ts';
import type { PlanningGraph } from '../../../central/planner/graph.ts';
import { parseProfile } from '../../../central/planner/profile/parse.ts';
import { graphOfProfile, problemOfProfile } from '../../../central/planner/profile/problem.ts';
import { type KnownNode, LiveFleet } from '../../../central/replanner/live-fleet.ts';
import { CENTRAL, type Plan } from '../../../shared/plan/plan.ts';

/** Lost if this fails: a machine that is out of work looks as bad as it was, or another one better than it is. */

/** Two layers of 1 and 3 million multiply-adds; the input has 100 kB. */
const graph: PlanningGraph = {
  layers: [
    { name: 'a', op: 'Conv', inputs: ['x'], outputs: ['a'], macs: 1e6 },
    { name: 'b', op: 'Conv', inputs: ['a'], outputs: ['b'], macs: 3e6 },
  ],
  tensors: [
    { name: 'x', bytes: 100_000 },
    { name: 'a', bytes: 50_000 },
    { name: 'b', bytes: 100 },
  ],
  inputs: ['x'],
  outputs: ['b'],
  blocks: [
    { name: 'a', first: 0, last: 0, cut: ['a'], bytes: 50_000 },
    { name: 'b', first: 1, last: 1, cut: ['b'], bytes: 100 },
  ],
};
const plan = { id: 'p', stages: [{ id: 0, inputs: ['x'], outputs: ['b'] }] } as unknown as Plan;
const node = (id: string, more: Partial<KnownNode> = {}): KnownNode => {
  return { id, tier: 'edge', memory_mb: 1000, codecs: ['raw'], splits: ['whole'], throttled: false, ...more };
};
/** Work at so many multiply-adds per second, in messages of 100 kB that take so long. */
const work = (parts: number, speed: number, ms = 110): MeasuredNode => {
  return { parts, speeds: [speed], message: { bytes: 100_000, ms }, memory: 1 };
};
/** An empty message takes 10 ms there and back, a byte 1 µs: 105 ms for the input. */
const link = { messageMs: 10, msPerByte: 0.001 };

test('a machine is known once its speed and link are; central has no link', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  const nodes = [node('a'), node(CENTRAL)];
  fleet.measured(0, nodes, plan, new Map());
  expect([...fleet.fleet]).toEqual([]);
  fleet.probed(0, CENTRAL, { ms: 2 });
  fleet.probed(0, 'a', { ms: 4 });
  expect([...fleet.fleet.keys()]).toEqual([CENTRAL]);
  fleet.probed(1, 'a', { ms: 4, link });
  expect(fleet.fleet.get('a')).toEqual({ slowness: 4, hop_ms: 105, memory: 1, throttled: false });
});

test('a machine is coming until it is measured, for ten seconds at most', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  fleet.measured(0, [node('a')], plan, new Map());
  expect(fleet.isComing(9999)).toBe(true);
  expect(fleet.isComing(10_000)).toBe(false);
  fleet.measured(20_000, [node('a'), node('b')], plan, new Map());
  expect(fleet.isComing(20_001)).toBe(true);
  fleet.probed(20_002, 'b', { ms: 1, link });
  expect(fleet.isComing(20_003)).toBe(false);
});

test('its work says how fast it is and how long its messages take, in the proportion of echoes', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  fleet.measured(0, [node('a')], plan, new Map());
  fleet.probed(0, 'a', { ms: 1, link });
  // 4 million multiply-adds in 8 ms are twice what is expected without a profile; messages take twice as long.
  fleet.measured(1, [node('a')], plan, new Map([['a', work(5, 5e8, 220)]]));
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: 2, hop_ms: 210 });
  const { nodes, links } = fleet.measurements;
  expect(nodes[0]!.times!.layer_ms).toEqual([2, 6]);
  expect(links).toEqual([
    { from: CENTRAL, to: 'a', rtt_ms: 10, mbps: expect.closeTo(4) },
    { from: 'a', to: CENTRAL, rtt_ms: 10, mbps: expect.closeTo(4) },
  ]);
});

test('without work probes tell what changed, corrected by what its work took after an earlier probe', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  const nodes = [node('a')];
  fleet.measured(0, nodes, plan, new Map());
  fleet.probed(0, 'a', { ms: 1, link });
  fleet.measured(1, nodes, plan, new Map([['a', work(20, 5e8, 220)]]));
  // Its processor and link are taken, and the plan goes elsewhere; then they are given back.
  fleet.measured(2, nodes, plan, new Map([['a', work(40, 5e7, 2200)]]));
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: 20, hop_ms: 2100 });
  expect(fleet.toProbe(2)).toBeUndefined();
  expect(fleet.toProbe(1002)).toBe('a');
  fleet.probed(1002, 'a', { ms: 1, link });
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: 2, hop_ms: 210 });
  expect(fleet.toProbe(1500)).toBeUndefined();
});

test('a probe that failed changes nothing, and neither does work that tells nothing', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  fleet.measured(0, [node('a')], plan, new Map());
  fleet.probed(0, 'a', { ms: 3, link });
  fleet.probed(5000, 'a', {});
  fleet.measured(5001, [node('a')], plan, new Map([['a', { ...work(3, 1), speeds: [undefined] }]]));
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: 3, hop_ms: 105 });
  expect(fleet.toProbe(6000)).toBe('a');
});

test('a machine that leaves is forgotten, and one whose memory shrank has less', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  fleet.measured(0, [node('a'), node('b')], plan, new Map());
  for (const id of ['a', 'b']) fleet.probed(0, id, { ms: 1, link });
  fleet.measured(1, [node('b')], plan, new Map([['b', { ...work(1, 1e9), memory: 0.25 }]]));
  expect([...fleet.fleet.keys()]).toEqual(['b']);
  expect(fleet.measurements.nodes.map(({ memory_mb }) => memory_mb)).toEqual([250]);
});

test('the times of a profile are the measure, and go up with the slowness', () => {
  const profile = parseProfile({
    model: 'm',
    input_bytes: 1000,
    source: 'a',
    blocks: [
      { name: 'one', output_bytes: 100 },
      { name: 'two', output_bytes: 10 },
    ],
    nodes: [{ id: 'a', tier: 'edge', block_ms: [4, 8] }],
    links: [],
  });
  const { times } = problemOfProfile(profile).nodes[0]!;
  const fleet = new LiveFleet(graphOfProfile(profile), [0], 1000);
  fleet.measured(0, [node('a', { times: times! })], plan, new Map());
  fleet.probed(0, 'a', { ms: 12, link });
  expect(fleet.fleet.get('a')!.slowness).toBe(3);
  expect(fleet.measurements.nodes[0]!.times).toMatchObject({ layer_ms: [12, 24], runs: [{ ms: 12 }, { ms: 24 }] });
});

test('work long after a probe is not compared with it: a link that became slow meanwhile is good again afterwards', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  fleet.measured(0, [node('a')], plan, new Map());
  fleet.probed(0, 'a', { ms: 1, link });
  // The link has a tenth of its bandwidth, so that ten parts take long.
  for (let parts = 1; parts <= 20; parts++)
    fleet.measured(1000 * parts, [node('a')], plan, new Map([['a', work(parts, 1e9, 1100 + parts)]]));
  expect(fleet.fleet.get('a')!.hop_ms).toBeGreaterThan(1000);
  // It is out of work, and the link comes back.
  fleet.probed(30_000, 'a', { ms: 1, link });
  expect(fleet.fleet.get('a')!.hop_ms).toBe(105);
});

test('a profile that comes meanwhile changes what its times are compared with', () => {
  const fleet = new LiveFleet(graph, [0], 1000);
  fleet.measured(0, [node('a')], plan, new Map());
  fleet.probed(0, 'a', { ms: 2, link });
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: 2 });
  const times = { layer_ms: [2, 3], runs: [], ratio: 1, error: null };
  fleet.measured(1, [node('a', { times })], plan, new Map());
  // 8 ms were expected of all layers, as they are twice as slow as assumed; the profile says 5.
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: expect.closeTo(1.6), hop_ms: 105 });
  fleet.probed(2, 'a', { ms: 2, link });
  expect(fleet.fleet.get('a')).toMatchObject({ slowness: expect.closeTo(1.6) });
});
