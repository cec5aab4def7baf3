import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, everyNode, type StageSketch, sketchPlan } from '../../../bench/sim/plans.ts';
import type { FrameEnd } from '../../../central/coordinator/frame-end.ts';

/** A cluster of the nodes a, b and c that serves a plan. */
function serving(sketches: readonly StageSketch[]): Cluster {
  const cluster = new Cluster();
  for (const node of ['a', 'b', 'c']) cluster.start(node);
  cluster.plan('m', sketchPlan(sketches));
  cluster.run(5_000);
  return cluster;
}

/** The end of one more frame that is born at a node. */
function born(cluster: Cluster, node: string): FrameEnd {
  cluster.born(node, 'front');
  cluster.settle();
  return cluster.published.at(-1)!;
}

const whole = { tiles: 1, on: everyNode };

describe('a frame that was born at a node stays there', () => {
  test('for whole stages that may run there, whatever the other nodes do', () => {
    const cluster = serving([whole, whole, { tiles: 1, on: atCentral }]);
    for (const node of ['a', 'b', 'a', 'c'])
      expect(born(cluster, node)).toMatchObject({ outcome: 'ok', tiles_per_node: { [node]: 2, central: 1 } });
    expect(cluster.taken).toEqual([]);
    expect(cluster.work.filter(({ stage }) => stage === 0).every(({ hasFrame }) => hasFrame === true)).toBe(true);
  });

  test('for tiles that are pinned to it, or may run nowhere else', () => {
    for (const on of [
      { mode: 'share', nodes: '*', parts: ['b', 'b'] },
      { mode: 'share', nodes: ['b'] },
    ] as const) {
      const cluster = serving([
        { tiles: 2, on },
        { tiles: 1, on: atCentral },
      ]);
      expect(born(cluster, 'b').tiles_per_node).toEqual({ b: 2, central: 1 });
      expect(cluster.taken).toEqual([]);
    }
  });
});

describe('a frame that was born at a node comes to central', () => {
  test('where other nodes share its tiles, where the plan places it elsewhere, or central reads it', () => {
    for (const first of [
      { tiles: 4, on: everyNode },
      { tiles: 1, on: { mode: 'share', nodes: ['c'] } },
      { tiles: 1, on: atCentral },
    ] as const) {
      const cluster = serving([first, { tiles: 1, on: atCentral }]);
      expect(born(cluster, 'b')).toMatchObject({ outcome: 'ok' });
      expect(cluster.work.every(({ hasFrame }) => hasFrame === undefined)).toBe(true);
    }
  });

  test('once, where its node fails at a part that reads it', () => {
    const cluster = serving([whole, { tiles: 1, on: everyNode, reads: 't0' }]);
    cluster.behaviour('a').errors = 1;
    const end = born(cluster, 'a');
    expect(end.outcome).toBe('ok');
    expect(end.nodes).not.toContain('a');
    expect(cluster.taken).toHaveLength(1);
  });
});

describe('a frame that its node cannot open', () => {
  test('comes to central, and is computed wherever the plan lets it', () => {
    const cluster = serving([whole, { tiles: 1, on: atCentral }]);
    cluster.behaviour('a').unopened = 1;
    expect(born(cluster, 'a').outcome).toBe('ok');
    expect(cluster.taken).toHaveLength(1);
    expect(cluster.work.every(({ hasFrame }) => hasFrame === undefined)).toBe(true);
  });
});

describe('a frame of a topic that nodes read themselves', () => {
  const topic = (): Cluster => {
    const cluster = new Cluster();
    for (const node of ['a', 'b', 'c']) cluster.start(node);
    const tiles = { tiles: 6, on: { mode: 'share', nodes: ['a', 'b'] } } as const;
    cluster.plan('m', sketchPlan([tiles, { tiles: 1, on: atCentral }], 0, 1e6, 'topic'));
    cluster.run(5_000);
    return cluster;
  };
  const frames = (cluster: Cluster, count: number): void => {
    for (let i = 0; i < count; i++) {
      cluster.offer('front');
      cluster.settle();
    }
  };

  test('is not sent to those that have it, and is sent to those that missed it', () => {
    const cluster = topic();
    frames(cluster, 20);
    expect(cluster.published.every(({ outcome }) => outcome === 'ok')).toBe(true);
    const tiles = cluster.work.filter(({ stage }) => stage === 0);
    const having = tiles.filter(({ hasFrame }) => hasFrame === true).length;
    expect(having).toBeGreaterThan(tiles.length / 2);
    expect(having).toBeLessThan(tiles.length);
  });

  test('is sent to a node that was restarted since, and to one that turns out not to have it', () => {
    const cluster = topic();
    cluster.behaviour('a').errors = 1;
    frames(cluster, 10);
    cluster.kill('b');
    cluster.start('b');
    cluster.run(cluster.now + 1000);
    cluster.behaviour('a').errors = 0;
    frames(cluster, 10);
    expect(cluster.published.every(({ outcome }) => outcome === 'ok')).toBe(true);
  });
});

describe('a node that leaves with a frame', () => {
  test('ends it at once, with a code', () => {
    const cluster = serving([{ ...whole, cost: 1e9 }]);
    cluster.born('a', 'front');
    cluster.run(cluster.now + 100);
    const killedAt = cluster.now;
    cluster.kill('a');
    expect(cluster.published.at(-1)).toMatchObject({
      outcome: 'error',
      failure: { code: 'TESSERA_SOURCE_LOST', message: 'node a, where the frame was born, left with it' },
    });
    expect(cluster.now).toBe(killedAt);
    cluster.start('a');
    cluster.run(cluster.now + 1000);
    expect(born(cluster, 'a').outcome).toBe('ok');
  });

  test('ends none that is at central, or that nobody reads any more', () => {
    const shared = serving([{ tiles: 4, cost: 1e8, on: everyNode }]);
    shared.born('a', 'front');
    shared.run(shared.now + 100);
    shared.kill('a');
    shared.settle();
    expect(shared.published.at(-1)).toMatchObject({ outcome: 'ok' });
    const later = serving([whole, { tiles: 1, cost: 1e9, on: { mode: 'share', nodes: ['c'] } }]);
    later.born('a', 'front');
    later.run(later.now + 500);
    later.kill('a');
    later.settle();
    expect(later.published.at(-1)).toMatchObject({ outcome: 'ok', nodes: ['a', 'c'] });
  });

  test('ends none whose picture has arrived, though central still decodes it', () => {
    const cluster = serving([{ tiles: 1, on: atCentral }]);
    cluster.born('a', 'front');
    while (cluster.arrived.length === 0) cluster.run(cluster.now + 0.5);
    cluster.kill('a');
    expect(cluster.published).toEqual([]);
    cluster.settle();
    expect(cluster.published.map(({ outcome }) => outcome)).toEqual(['ok']);
  });

  test('ends those that wait for their turn when their turn comes', () => {
    const cluster = serving([{ ...whole, cost: 1e9 }]);
    for (let i = 0; i < 4; i++) cluster.born('a', `camera-${i}`);
    cluster.run(cluster.now + 100);
    cluster.kill('a');
    cluster.settle();
    expect(cluster.published.map(({ failure }) => failure?.code)).toEqual(new Array(4).fill('TESSERA_SOURCE_LOST'));
  });
});
