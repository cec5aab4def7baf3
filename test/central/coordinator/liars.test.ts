import { expect, test } from 'vitest';
import type { Behaviour } from '../../../bench/sim/behaviour.ts';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, sketchPlan, tilesAndTail } from '../../../bench/sim/plans.ts';

/**
 * A node that reports false times gets no more work than an honest one, so it cannot influence how work is distributed.
 */

const NODES = ['a', 'b', 'c', 'd'];

/**
 * Tiles of 30 ms at nodes of which `d` takes four times as long as the others; the number of tiles that it got, frame
 * by frame.
 */
function film(claims: Behaviour['claims'], every: number, seed: number): { shares: number[]; latency: number } {
  const cluster = new Cluster({}, seed);
  for (const node of NODES) cluster.start(node);
  Object.assign(cluster.behaviour('d'), { speed: 2.5e5, claims });
  cluster.plan('m', tilesAndTail(16, { cost: 3e7 }));
  cluster.run(4_000);
  for (let k = 0; k < 60; k++) {
    cluster.offer('front');
    cluster.run(cluster.now + every);
  }
  cluster.settle();
  const later = cluster.published.slice(20);
  expect(later.every((end) => end.outcome === 'ok')).toBe(true);
  return {
    shares: later.map((end) => end.tiles_per_node.d ?? 0),
    latency: later.reduce((sum, end) => sum + end.latency_ms, 0) / later.length,
  };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

const truths = [400, 100].map((every) => ({ every, truth: film(undefined, every, 3) }));

test.each<[string, NonNullable<Behaviour['claims']>]>([
  ['no time at all', () => ({ compute_ms: 0, queue_ms: 0 })],
  ['next to no time', () => ({ compute_ms: 1e-300, queue_ms: 0 })],
  ['that it waited all the time', ({ compute_ms, queue_ms }) => ({ compute_ms: 0, queue_ms: queue_ms + compute_ms })],
  ['that it waited for a year', () => ({ compute_ms: 0, queue_ms: 3e10 })],
  ['a tenth of its times', ({ compute_ms, queue_ms }) => ({ compute_ms: compute_ms / 10, queue_ms: queue_ms / 10 })],
  ['times that are no numbers', () => ({ compute_ms: Number.NaN, queue_ms: Number.NaN })],
  ['times before it was asked', () => ({ compute_ms: -1e9, queue_ms: -1e9 })],
])('a slow node that claims %s', (_, claims) => {
  for (const { every, truth } of truths) {
    const lie = film(claims, every, 3);
    expect(mean(lie.shares)).toBeLessThanOrEqual(mean(truth.shares) + 1);
    expect(lie.latency).toBeLessThanOrEqual(1.5 * truth.latency);
  }
});

test('a node that reports very long times loses its own share and does not slow the others', () => {
  const { shares, latency } = film(() => ({ compute_ms: 1e12, queue_ms: 0 }), 400, 3);
  expect(mean(shares)).toBeLessThanOrEqual(2);
  expect(latency).toBeLessThan(400);
});

/** Four nodes of which `d` sometimes sends wrong results, and a camera at ten frames a second. */
function withLiar(lies: number, seed: number, options: object = {}): Cluster {
  const cluster = new Cluster({ audit_share: 0.05, audit_seed: seed, ...options }, seed);
  for (const node of NODES) cluster.start(node);
  cluster.behaviour('d').lies = lies;
  cluster.plan('m', tilesAndTail(16, { cost: 3e6 }));
  cluster.run(4_000);
  return cluster;
}

function play(cluster: Cluster, frames: number): void {
  for (let k = 0; k < frames; k++) {
    cluster.offer('front');
    cluster.run(cluster.now + 100);
  }
  cluster.settle();
}

test.each([1, 2, 3])(
  'a node whose every answer is wrong is out after its first frames, and then none is wrong (seed %d)',
  (seed) => {
    const cluster = withLiar(1, seed);
    play(cluster, 100);
    expect(cluster.leftOut).toEqual(['d']);
    expect(cluster.spoiled.size).toBeLessThanOrEqual(3);
    expect(cluster.published).toHaveLength(100);
    for (const end of cluster.published.slice(5)) expect(end.tiles_per_node.d).toBeUndefined();
  },
);

test('a node that rarely sends wrong results is found in time', () => {
  const cluster = withLiar(0.2, 4);
  play(cluster, 400);
  expect(cluster.leftOut).toEqual(['d']);
});

test('without wrong results no node is excluded, and audits slow no frame', () => {
  const latencies = [0, 1].map((audit_share) => {
    const cluster = withLiar(0, 5, { audit_share });
    play(cluster, 100);
    expect(cluster.leftOut).toEqual([]);
    return mean(cluster.published.map((end) => end.latency_ms));
  });
  expect(latencies[1]).toBeLessThanOrEqual(1.05 * latencies[0]!);
});

test('a result found wrong is not used: the frame in progress gets the right tile, or its result says that it has not', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = withLiar(1, seed, { audit_share: 1 });
    // Slow enough for audits to end while the frame is open.
    for (const node of ['a', 'b', 'c']) cluster.behaviour(node).speed = 1e4;
    play(cluster, 5);
    expect(cluster.leftOut).toEqual(['d']);
    for (const end of cluster.published) if (end.outcome === 'ok') expect(end.missing).toEqual([]);
  }
});

test('a frame in which a wrong tile was read does not end well, although other tiles of the stage were in progress', () => {
  const readers = Array.from({ length: 6 }, (_, t_id) => ({
    tiles: 1,
    on: atCentral,
    reads: 't1',
    needs: () => [t_id],
  }));
  const plan = sketchPlan([{ tiles: 6, cost: 3e6 }, ...readers], 9);
  let failed = 0;
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = withLiar(0, seed, { audit_share: 1 });
    cluster.plan('m', plan);
    cluster.run(8_000);
    play(cluster, 5);
    cluster.behaviour('d').lies = 1;
    // Its tiles are in progress until other nodes do them.
    cluster.pause('c');
    play(cluster, 1);
    expect(cluster.spoiled.size).toBe(cluster.leftOut.length === 0 ? 1 : 0);
    const { outcome, failure } = cluster.published.at(-1)!;
    if (outcome === 'error') {
      failed++;
      expect(failure!.message).toContain('answer wrongly');
    }
  }
  expect(failed).toBeGreaterThan(5);
});

test('an excluded node that is restarted gets work again and is audited more often; the second time it stays excluded', () => {
  const cluster = withLiar(1, 6);
  play(cluster, 20);
  cluster.kill('d');
  cluster.start('d');
  cluster.run(cluster.now + 1_000);
  play(cluster, 20);
  expect(cluster.leftOut).toEqual(['d', 'd']);
  cluster.kill('d');
  cluster.start('d', { lies: 0 });
  cluster.run(cluster.now + 1_000);
  const before = cluster.published.length;
  play(cluster, 20);
  for (const end of cluster.published.slice(before)) expect(end.tiles_per_node.d).toBeUndefined();
});

test('a node that an operator readmits gets work again, however often it was excluded, and is excluded again if its results are wrong', () => {
  const cluster = withLiar(1, 6);
  play(cluster, 20);
  cluster.kill('d');
  cluster.start('d');
  cluster.run(cluster.now + 1_000);
  play(cluster, 20);
  cluster.readmit('d');
  play(cluster, 20);
  expect(cluster.leftOut).toEqual(['d', 'd', 'd']);
  cluster.behaviour('d').lies = 0;
  cluster.readmit('d');
  cluster.readmit('a');
  const before = cluster.published.length;
  play(cluster, 60);
  expect(cluster.leftOut).toHaveLength(3);
  expect(cluster.published.slice(before).some((end) => (end.tiles_per_node.d ?? 0) > 0)).toBe(true);
});

test('a node that the restart repaired keeps its work', () => {
  const cluster = withLiar(1, 7);
  play(cluster, 20);
  cluster.kill('d');
  cluster.behaviour('d').lies = 0;
  cluster.start('d');
  cluster.run(cluster.now + 1_000);
  const before = cluster.published.length;
  play(cluster, 60);
  expect(cluster.leftOut).toEqual(['d']);
  expect(cluster.published.slice(before).some((end) => (end.tiles_per_node.d ?? 0) > 0)).toBe(true);
});

test('a node that gives the second answer of an audit cannot have an honest node excluded', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const cluster = withLiar(0, seed, { audit_share: 0.5 });
    play(cluster, 20);
    cluster.behaviour('d').lies = 1;
    play(cluster, 60);
    expect(cluster.leftOut).toEqual(['d']);
  }
});

test('where all nodes are excluded, central computes everything itself', () => {
  const cluster = withLiar(1, 8);
  for (const node of NODES) cluster.behaviour(node).lies = 1;
  play(cluster, 100);
  expect([...cluster.leftOut].sort()).toEqual(NODES);
  const { outcome, nodes } = cluster.published.at(-1)!;
  expect([outcome, nodes]).toEqual(['ok', ['central']]);
});

test('with audits off no part is computed twice', () => {
  const cluster = withLiar(1, 9, { audit_share: 0 });
  play(cluster, 20);
  expect(cluster.leftOut).toEqual([]);
  expect(cluster.work.filter((work) => work.audit !== undefined)).toEqual([]);
});

test('a slow node does not count as a nuisance, or else none of its results would be decoded any more', () => {
  const cluster = new Cluster({}, 10);
  for (const node of NODES) cluster.start(node);
  cluster.plan('m', tilesAndTail(16, { cost: 3e6 }));
  cluster.run(4_000);
  // Every result of it arrives after another node's.
  Object.assign(cluster.behaviour('d'), { reordered: 1, reorderMs: 3_000 });
  play(cluster, 100);
  const { late } = cluster.coordinator.snapshot().discarded;
  expect(late).toBeGreaterThan(3);
  expect(cluster.coordinator.unused).toBe(0);
});

test('one request accepts one result, however often the node sends it', () => {
  const cluster = new Cluster({}, 11);
  for (const node of NODES) cluster.start(node);
  cluster.plan('m', tilesAndTail(16, { cost: 3e6 }));
  cluster.run(4_000);
  Object.assign(cluster.behaviour('d'), { reordered: 1, reorderMs: 3_000, duplicated: 1 });
  play(cluster, 100);
  expect(cluster.coordinator.unused).toBeGreaterThan(3);
});
