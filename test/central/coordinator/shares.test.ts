import { expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { tilesAndTail } from '../../../bench/sim/plans.ts';

/** Which share of the work each node gets, in the long run. If these fail, nodes are idle that could work. */

const NODES = ['a', 'b', 'c', 'd'];
const SEEDS = [1, 2, 3, 4, 5, 6];

function fourNodes(seed: number): Cluster {
  const cluster = new Cluster({}, seed);
  for (const node of NODES) cluster.start(node);
  return cluster;
}

/** Frames one after another over links whose messages take `delayMs` on average, with jitter; each node's share. */
function film(cluster: Cluster, count: number, delayMs: number): number[][] {
  const first = cluster.published.length;
  for (let i = 1; i <= count; i++) {
    for (const node of NODES) {
      cluster.behaviour(node).delayMs = (delayMs / 2) * (1 - Math.log(1 - cluster.random.next()));
      cluster.behaviour(node).speed = 1e6 * (0.8 + 0.4 * cluster.random.next());
    }
    cluster.offer('front');
    while (cluster.published.length < first + i) cluster.run(cluster.now + 1);
    cluster.run(cluster.now + 50);
  }
  return cluster.published.slice(first).map((end) => NODES.map((node) => end.tiles_per_node[node] ?? 0));
}

test.each(SEEDS)(
  'tiles that cost next to nothing go to few nodes; dear ones are shared by all soon after (seed %d)',
  (seed) => {
    const cluster = fourNodes(seed);
    cluster.plan('m', tilesAndTail(16, { cost: 1e3, bytes_in: 400, bytes_out: 400 }));
    cluster.run(4_000);
    // No speed is known yet: all nodes are tried.
    expect(film(cluster, 1, 5)).toEqual([[4, 4, 4, 4]]);
    const cheap = film(cluster, 60, 5).slice(30);
    const used = cheap.map((shares) => shares.filter((share) => share > 0).length);
    expect(used.reduce((a, b) => a + b, 0) / used.length).toBeLessThan(3);
    cluster.plan('m', tilesAndTail(16, { cost: 3e7, bytes_in: 200_000, bytes_out: 200_000 }, 1));
    cluster.run(cluster.now + 4_000);
    for (const shares of film(cluster, 20, 5).slice(12))
      for (const share of shares) {
        expect(share).toBeGreaterThanOrEqual(2);
        expect(share).toBeLessThanOrEqual(6);
      }
  },
);

test.each([
  ['its computing', { speed: 1e4 }, { speed: 1e6 }],
  ['its link', { bytesPerMs: 100, delayMs: 300 }, { bytesPerMs: 1e5, delayMs: 1 }],
])(
  'a node whose first frame was a hundred times too slow by %s gets its share within half a minute',
  (_, bad, good) => {
    const cluster = fourNodes(1);
    Object.assign(cluster.behaviour('d'), bad);
    cluster.plan('m', tilesAndTail(16, { cost: 3e6, bytes_in: 100_000, bytes_out: 100_000 }));
    cluster.run(4_000);
    cluster.offer('front');
    while (cluster.published.length === 0) cluster.run(cluster.now + 1);
    Object.assign(cluster.behaviour('d'), good);
    const since = cluster.now;
    const recovered = (): boolean => (film(cluster, 1, 2)[0]![3] ?? 0) >= 3;
    while (!recovered()) expect(cluster.now - since).toBeLessThan(30_000);
  },
);
