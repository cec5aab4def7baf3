import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { sketchPlan } from '../../../bench/sim/plans.ts';

/** If these fail, a picture whose sections are frames of their own has no result, several, or one without its parts. */

const LAYOUT = { rows: 2, columns: 2, overlap: 0.2, whole: true };

function serving(nodes: readonly string[], options: ConstructorParameters<typeof Cluster>[0] = {}): Cluster {
  const cluster = new Cluster(options);
  for (const node of nodes) cluster.start(node);
  cluster.plan('m', sketchPlan([{ tiles: 1, on: { mode: 'replicate', nodes: '*' } }]));
  cluster.run(5_000);
  return cluster;
}
const offer = (cluster: Cluster, frame: string) => cluster.offer('front', frame, ['m'], 50_000, LAYOUT);

describe('a frame with sections', () => {
  test('ends once, with the work of all of its sections, which nodes share', () => {
    const cluster = serving(['a', 'b']);
    offer(cluster, 'f');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ frame: 'f', outcome: 'ok', sections: 5, nodes: ['a', 'b'] }]);
    const { tiles_per_node, trace, i_id } = cluster.published[0]!;
    expect(tiles_per_node.a! + tiles_per_node.b!).toBe(5);
    expect(trace).toHaveLength(5);
    expect(new Set(cluster.work.map((work) => work.i_id)).size).toBe(5);
    expect(cluster.work[0]!.i_id).toBe(i_id);
  });

  test('is one of the frames that the newest replaces: no picture is seen in part', () => {
    const cluster = serving(['a']);
    for (const frame of ['f', 'g', 'h']) offer(cluster, frame);
    cluster.settle();
    expect(cluster.published.map(({ frame, sections }) => [frame, sections])).toEqual([
      ['f', 5],
      ['h', 5],
    ]);
    expect(cluster.skipped).toMatchObject([{ frame: 'g', reason: 'newer-frame' }]);
  });

  test('ends with the error of the first section that fails, and the others are given up', () => {
    const cluster = serving(['a']);
    cluster.badFrame = 1;
    offer(cluster, 'f');
    cluster.settle();
    expect(cluster.published).toMatchObject([
      { frame: 'f', outcome: 'error', failure: { code: 'TESSERA_INPUT_INVALID' } },
    ]);
    expect(cluster.work).toEqual([]);
  });

  test('ends with an error where central stops between two of its sections', () => {
    const cluster = serving(['a'], { max_open_per_model: 1 });
    offer(cluster, 'f');
    cluster.run(cluster.now + 4);
    cluster.tell({ type: 'stop' });
    expect(cluster.published).toMatchObject([
      { frame: 'f', outcome: 'error', failure: { code: 'TESSERA_CENTRAL_RESTARTED' } },
    ]);
    expect(cluster.drained).toBe(true);
  });

  test('that was accepted is brought to its end while central drains', () => {
    const cluster = serving(['a'], { max_open_per_model: 1 });
    offer(cluster, 'f');
    cluster.tell({ type: 'drain' });
    cluster.settle();
    expect(cluster.published).toMatchObject([{ frame: 'f', outcome: 'ok', sections: 5 }]);
    expect(cluster.drained).toBe(true);
  });

  test('goes on from the picture that central has where its node leaves between two sections', () => {
    const cluster = serving(['a', 'b'], { max_open_per_model: 1 });
    cluster.born('a', 'front', ['m'], LAYOUT);
    while (cluster.arrived.length === 0) cluster.run(cluster.now + 0.5);
    cluster.kill('a');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', sections: 5, nodes: ['b'] }]);
    expect(cluster.arrived).toHaveLength(5);
  });

  test('ends with an error where its node leaves before central has the picture', () => {
    const cluster = serving(['a', 'b'], { max_open_per_model: 1 });
    cluster.born('a', 'front', ['m'], LAYOUT);
    cluster.run(cluster.now + 0.5);
    cluster.kill('a');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'error', failure: { code: 'TESSERA_SOURCE_LOST' } }]);
  });

  test('waits for its turn where many such frames are under way, and holds up no frame without sections', () => {
    const cluster = serving(['a', 'b', 'c'], { max_sectioned: 1 });
    for (const camera of ['x', 'y', 'z']) cluster.offer(camera, camera, ['m'], 50_000, LAYOUT);
    cluster.offer('plain', 'plain');
    cluster.settle();
    expect(cluster.published.map(({ frame, outcome }) => `${frame} ${outcome}`).sort()).toEqual([
      'plain ok',
      'x ok',
      'y ok',
      'z ok',
    ]);
    expect(cluster.published.findIndex(({ frame }) => frame === 'plain')).toBeLessThan(2);
  });
});
