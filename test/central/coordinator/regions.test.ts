import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, everyNode, sketchPlan } from '../../../bench/sim/plans.ts';
import type { WorkEffect } from '../../../central/coordinator/effects.ts';
import { defaultOptions } from '../../../central/coordinator/options.ts';
import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';

/** Each part reads the part before it, the same one and the one after it. */
const neighbours =
  (tiles: number) =>
  (t_id: number): number[] =>
    [t_id - 1, t_id, t_id + 1].filter((other) => other >= 0 && other < tiles);

const pinned = (...parts: string[]) => ({ mode: 'share' as const, nodes: '*' as const, parts });

/** Two stages of tiles with halos at two nodes, and a tail at central. */
const halos = sketchPlan(
  [
    { tiles: 4, cost: 1e7, on: pinned('a', 'a', 'b', 'b') },
    { tiles: 4, cost: 1e7, on: pinned('a', 'a', 'b', 'b'), needs: neighbours(4) },
    { tiles: 1, on: atCentral },
  ],
  20,
);
/** The same without pins. */
const free = sketchPlan(
  [
    { tiles: 4, cost: 1e7 },
    { tiles: 4, cost: 1e7, needs: neighbours(4) },
    { tiles: 1, on: atCentral },
  ],
  21,
);

function serving(plan: SchedulablePlan, nodes: readonly string[], options = {}): Cluster {
  const cluster = new Cluster(options);
  for (const node of nodes) cluster.start(node);
  cluster.plan('m', plan);
  cluster.run(4_000);
  return cluster;
}

/** Work of one stage, by part: the node and the ways of its regions. */
function worksOf(cluster: Cluster, stage: number) {
  const of = (work: WorkEffect) =>
    work.t_ids.map((t_id) => ({ node: work.node, t_id, way: work.ways?.find((way) => way.t_id === t_id) }));
  return cluster.work.filter((work) => work.stage === stage).flatMap(of);
}

/** Runs until a part of a stage is done at a node and its regions are there alone. */
function untilHeld(cluster: Cluster, node: string): void {
  const before = cluster.done.get(node) ?? 0;
  while ((cluster.done.get(node) ?? 0) === before) cluster.run(cluster.now + 1);
  cluster.run(cluster.now + 2);
}

describe('regions go straight', () => {
  test('tiles that follow at the same node do not move, and only halos go to neighbours', () => {
    const cluster = serving(halos, ['a', 'b']);
    cluster.offer('front');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', tiles_per_node: { a: 4, b: 4, central: 1 } }]);
    for (const { node, t_id, way } of worksOf(cluster, 0)) {
      const others = way!.out.flatMap(({ to }) => to).filter((to) => to !== node);
      expect(others).toEqual(t_id === 1 ? ['b'] : t_id === 2 ? ['a'] : []);
    }
    for (const { node, t_id, way } of worksOf(cluster, 1)) {
      const from = way!.in.flatMap((source) => source.from ?? []);
      expect(from).toEqual(t_id === 1 ? ['b'] : t_id === 2 ? ['a'] : []);
      expect(way!.in.filter(({ held }) => held)).toHaveLength(2);
      // The tail is at central, so their outputs come there and stay nowhere else.
      expect(way!.out.map(({ to }) => to)).toEqual([['central']]);
      expect(node).toBe(t_id < 2 ? 'a' : 'b');
    }
    expect(cluster.sends).toEqual([]);
    // One halo each way.
    const [made] = halos.stages[0]!.parts[1]!.out;
    expect(cluster.published[0]!.bytes_between).toBe(2 * made!.bytes);
  });

  test('without pins a tile follows where most bytes of its input are', () => {
    const cluster = serving(free, ['a', 'b', 'c']);
    for (let i = 0; i < 5; i++) {
      cluster.offer('front');
      cluster.settle();
    }
    const at = (stage: number) =>
      new Map(
        worksOf(cluster, stage)
          .slice(-4)
          .map(({ t_id, node }) => [t_id, node]),
      );
    const makers = at(0);
    for (const [t_id, node] of at(1)) expect(neighbours(4)(t_id).map((maker) => makers.get(maker))).toContain(node);
  });

  test('a part starts when its own inputs are there, not when the stage before it is done', () => {
    const cluster = serving(halos, ['a', 'b']);
    cluster.behaviour('b').speed = 1e5;
    cluster.offer('front');
    cluster.settle();
    const { trace } = cluster.published[0]!;
    const received = (stage: number, t_id: number) =>
      trace.find((part) => part.stage === stage && part.t_id === t_id && part.used)!.received_ms!;
    const sent = (stage: number, t_id: number) =>
      trace.find((part) => part.stage === stage && part.t_id === t_id && part.used)!.sent_ms!;
    expect(sent(1, 0)).toBeLessThan(received(0, 3));
  });

  test('two stages, tiles and a tail at central, take the way that they always took', () => {
    const cluster = serving(sketchPlan([{ tiles: 4 }, { tiles: 1, on: atCentral }], 22), ['a', 'b']);
    cluster.offer('front');
    cluster.settle();
    expect(cluster.work.flatMap(({ ways }) => ways ?? [])).toEqual([]);
    expect(cluster.freed).toEqual([]);
  });

  test('what all parts of a stage read of all parts before it passes central', () => {
    const dense = [
      { tiles: 7, bytes_out: 3600 },
      { tiles: 8, bytes_in: 25_000 },
      { tiles: 1, on: atCentral },
    ];
    const cluster = serving(sketchPlan(dense, 24), ['a', 'b', 'c']);
    cluster.offer('front');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', bytes_between: 0 }]);
    expect(cluster.work.flatMap(({ ways }) => ways ?? [])).toEqual([]);
  });

  test('everything comes to central where late tiles are filled with zeros', () => {
    const camera = { ...defaultOptions.camera, deadline: 'fill', deadline_ms: 500 } as const;
    const cluster = serving(halos, ['a', 'b'], { camera });
    cluster.offer('front');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok' }]);
    expect(cluster.work.flatMap(({ ways }) => ways ?? [])).toEqual([]);
  });

  test('a tensor that central reads too comes to central, and goes straight as well', () => {
    const skip = sketchPlan(
      [
        { tiles: 1, on: pinned('a') },
        { tiles: 1, on: pinned('b') },
        { tiles: 1, on: atCentral, reads: 't1' },
        { tiles: 1, on: atCentral, reads: 't2' },
      ],
      23,
    );
    const cluster = serving(skip, ['a', 'b']);
    cluster.offer('front');
    cluster.settle();
    const [first] = worksOf(cluster, 0);
    expect(first!.way!.out).toMatchObject([{ to: ['central', 'a'] }, { to: ['b'] }]);
    expect(cluster.published).toMatchObject([{ outcome: 'ok' }]);
  });

  test('nodes are told when a frame ends, each once', () => {
    const cluster = serving(halos, ['a', 'b', 'c']);
    cluster.offer('front');
    cluster.settle();
    const { i_id } = cluster.published[0]!;
    expect(cluster.freed.map(({ node, i_ids }) => [node, i_ids]).sort()).toEqual([
      ['a', [i_id]],
      ['b', [i_id]],
    ]);
  });
});

describe('losing a holder loses no frame', () => {
  const long = (salt: number) =>
    sketchPlan(
      [
        { tiles: 2, cost: 1e6 },
        { tiles: 2, cost: 1e6, needs: neighbours(2) },
        { tiles: 1, cost: 1e9, on: everyNode },
      ],
      salt,
    );

  test.each(['killed', 'restarted', 'silent'])('a node is %s that alone holds a region', (how) => {
    const cluster = serving(halos, ['a', 'b', 'c']);
    cluster.behaviour('a').speed = 1e5;
    cluster.offer('front');
    untilHeld(cluster, 'b');
    if (how === 'silent') cluster.pause('b');
    else cluster.kill('b');
    if (how === 'restarted') cluster.start('b');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', missing: [] }]);
    // Made again from the frame itself: part 3 of the first stage was done at b.
    expect(worksOf(cluster, 0).filter(({ t_id }) => t_id === 3).length).toBeGreaterThan(1);
  });

  test('what was lost is made again down to the frame, when the node had all of it', () => {
    const cluster = serving(long(30), ['a']);
    cluster.offer('front');
    cluster.run(cluster.now + 200);
    expect(worksOf(cluster, 2)).toHaveLength(1);
    cluster.start('b');
    cluster.run(cluster.now + 100);
    cluster.kill('a');
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', nodes: ['b'], tiles_per_node: { b: 5 } }]);
  });

  test('central fetches what nodes hold where it has to do the next stage itself', () => {
    const cluster = serving(long(31), ['a']);
    cluster.behaviour('a').errors = 0;
    cluster.offer('front');
    while (worksOf(cluster, 2).length === 0) cluster.run(cluster.now + 1);
    const [, tail] = [cluster.behaviour('a'), worksOf(cluster, 2)[0]!];
    expect(tail.way!.in.every(({ held }) => held)).toBe(true);
    cluster.behaviour('a').errors = 1;
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', tiles_per_node: { a: 4, central: 1 } }]);
    expect(cluster.sends.map(({ node, to }) => [node, to])).toEqual([
      ['a', ['central']],
      ['a', ['central']],
    ]);
  });

  test('messages with regions that are lost are sent again', () => {
    const cluster = serving(halos, ['a', 'b'], { camera: { ...defaultOptions.camera, keep: 'every' } });
    for (const node of ['a', 'b']) cluster.behaviour(node).dropped = 0.5;
    for (let i = 0; i < 10; i++) cluster.offer('front');
    cluster.settle();
    expect(cluster.published.map(({ outcome }) => outcome)).toEqual(new Array(10).fill('ok'));
    expect(cluster.sends.length).toBeGreaterThan(0);
  });

  test('a holder that says `missing` is not asked a second time: its part is made again', () => {
    const cluster = serving(long(32), ['a', 'b']);
    cluster.offer('front');
    while (!cluster.sends.length && cluster.now < 6_000) {
      cluster.loseRegions('a');
      cluster.loseRegions('b');
      cluster.run(cluster.now + 1);
    }
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok' }]);
  });

  test('of two makers of one region the first counts, and the other is of use when the first is lost', () => {
    const cluster = serving(free, ['a', 'b', 'c']);
    for (let i = 0; i < 3; i++) {
      cluster.offer('front');
      cluster.settle();
    }
    const [slow] = worksOf(cluster, 0).slice(-1);
    cluster.behaviour(slow!.node).speed = 3e4;
    cluster.offer('front');
    cluster.settle();
    const end = cluster.published.at(-1)!;
    expect(end.outcome).toBe('ok');
    expect(end.trace.filter(({ stage, hedged }) => stage === 0 && hedged).length).toBeGreaterThan(0);
    expect(Object.values(end.tiles_per_node).reduce((sum, tiles) => sum + tiles, 0)).toBe(9);
  });
});
