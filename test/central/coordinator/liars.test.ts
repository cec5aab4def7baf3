import { expect, test } from 'vitest';
import { type Behaviour, Cluster } from '../../sim/cluster.ts';
import { tilesAndTail } from '../../sim/plans.ts';

/** A node that lies about its times draws no more work than one that says the truth, so it cannot steer the cluster. */

const NODES = ['a', 'b', 'c', 'd'];

/** Tiles of 30 ms at nodes of which `d` is four times as slow as the others; the tiles that it got, frame by frame. */
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

test.each<[string, NonNullable<Behaviour['claims']>]>([
  ['no time at all', () => ({ compute_ms: 0, queue_ms: 0 })],
  ['next to no time', () => ({ compute_ms: 1e-300, queue_ms: 0 })],
  ['that it waited all the time', ({ compute_ms, queue_ms }) => ({ compute_ms: 0, queue_ms: queue_ms + compute_ms })],
  ['that it waited for a year', () => ({ compute_ms: 0, queue_ms: 3e10 })],
  ['a tenth of its times', ({ compute_ms, queue_ms }) => ({ compute_ms: compute_ms / 10, queue_ms: queue_ms / 10 })],
  ['times that are no numbers', () => ({ compute_ms: Number.NaN, queue_ms: Number.NaN })],
  ['times before it was asked', () => ({ compute_ms: -1e9, queue_ms: -1e9 })],
])('a slow node that claims %s', (_, claims) => {
  for (const every of [400, 100]) {
    const truth = film(undefined, every, 3);
    const lie = film(claims, every, 3);
    expect(mean(lie.shares)).toBeLessThanOrEqual(mean(truth.shares) + 1);
    expect(lie.latency).toBeLessThanOrEqual(1.5 * truth.latency);
  }
});

test('a node that claims to need for ever loses its own share and costs nobody anything', () => {
  const { shares, latency } = film(() => ({ compute_ms: 1e12, queue_ms: 0 }), 400, 3);
  expect(mean(shares)).toBeLessThanOrEqual(2);
  expect(latency).toBeLessThan(400);
});
