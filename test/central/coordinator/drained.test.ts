import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { tilesAndTail } from '../../../bench/sim/plans.ts';

const NODES = Array.from({ length: 8 }, (_, k) => `pi-${k}`);

/** Eight nodes that are ready for a plan of 16 tiles of 10 ms. */
function eightNodes(): Cluster {
  const cluster = new Cluster();
  for (const node of NODES) cluster.start(node);
  cluster.plan('m', tilesAndTail(16, { cost: 1e7 }));
  cluster.run(500);
  return cluster;
}

const drain = (cluster: Cluster, node: string, isDrained: boolean): void =>
  cluster.tell({ type: 'node-drained', node, isDrained });
const workOf = (cluster: Cluster, node: string): number => cluster.work.filter((work) => work.node === node).length;

describe('a drained node', () => {
  test('finishes what it was given, gets nothing new until it is resumed, and stays drained when it is restarted', () => {
    const cluster = eightNodes();
    cluster.offer('front');
    drain(cluster, 'pi-3', true);
    const given = workOf(cluster, 'pi-3');
    cluster.settle();
    cluster.kill('pi-3');
    cluster.start('pi-3');
    for (let i = 0; i < 5; i++) {
      cluster.offer('front');
      cluster.settle();
    }
    expect(workOf(cluster, 'pi-3')).toBe(given);
    drain(cluster, 'pi-3', false);
    cluster.run(1000);
    cluster.offer('front');
    cluster.settle();
    expect(workOf(cluster, 'pi-3')).toBeGreaterThan(given);
    expect(cluster.published.map(({ outcome }) => outcome)).toEqual(Array(7).fill('ok'));
  });

  test('eight nodes are drained, restarted and resumed one after another under load, and no frame is lost or done again', () => {
    const cluster = eightNodes();
    const start = cluster.now;
    const frames = 200;
    for (let k = 0; k < frames; k++) cluster.at(start + 50 * k, () => cluster.offer('front'));
    for (const [k, node] of NODES.entries()) {
      const at = start + 1000 * (k + 1);
      cluster.at(at, () => drain(cluster, node, true));
      cluster.at(at + 300, () => cluster.kill(node));
      cluster.at(at + 600, () => {
        cluster.start(node);
        drain(cluster, node, false);
      });
    }
    cluster.run(start + 50 * frames);
    cluster.settle();
    expect(cluster.published).toHaveLength(frames);
    expect(new Set(cluster.published.map(({ outcome }) => outcome))).toEqual(new Set(['ok']));
    // Nothing was under way at a node when it was stopped.
    expect(cluster.coordinator.snapshot().extra).toMatchObject({ resent: 0 });
  });
});
