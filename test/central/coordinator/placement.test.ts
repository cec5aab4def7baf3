import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, everyNode, type StageSketch, sketchPlan } from '../../../bench/sim/plans.ts';
import type { FrameEnd } from '../../../central/coordinator/frame-end.ts';
import type { CoordinatorOptions } from '../../../central/coordinator/options.ts';
import { CENTRAL } from '../../../shared/plan/plan.ts';

/** A cluster that serves a plan, with some of the nodes a, b and c. */
function serving(
  sketches: readonly StageSketch[],
  nodes: readonly string[],
  options: Partial<CoordinatorOptions> = {},
): Cluster {
  const cluster = new Cluster(options);
  for (const node of nodes) cluster.start(node);
  cluster.plan('m', sketchPlan(sketches));
  cluster.run(30_000);
  return cluster;
}

/** The end of one more frame. */
function frame(cluster: Cluster): FrameEnd {
  cluster.offer('front');
  cluster.settle();
  return cluster.published.at(-1)!;
}

/** The nodes that were given work of a stage since the last call. */
function doers(cluster: Cluster, stage: number): string[] {
  const done = cluster.work.filter((work) => work.stage === stage).map(({ node }) => node);
  cluster.work.length = 0;
  return done.sort();
}

describe('parts that are pinned', () => {
  const pinned = { tiles: 3, on: { mode: 'share', nodes: '*', parts: ['a', 'b', 'a'] } } as const;

  test('go to their nodes, however slow these are', () => {
    const cluster = serving([pinned], ['a', 'b', 'c']);
    cluster.behaviour('b').speed = 1e4;
    for (let i = 0; i < 5; i++) expect(frame(cluster)).toMatchObject({ outcome: 'ok', tiles_per_node: { a: 2, b: 1 } });
  });

  test('may be pinned to central', () => {
    const cluster = serving([{ ...pinned, on: { ...pinned.on, parts: ['a', CENTRAL, 'a'] } }], ['a', 'b']);
    expect(frame(cluster).tiles_per_node).toEqual({ a: 2, central: 1 });
  });

  test('go to stand-ins while their node is away, and back to it', () => {
    const cluster = serving([{ ...pinned, fallback: ['c'] }], ['a', 'b', 'c']);
    cluster.kill('b');
    const end = frame(cluster);
    expect(end).toMatchObject({ outcome: 'ok', tiles_per_node: { a: 2, c: 1 } });
    expect(end.fallback).toEqual({
      reason: 'no-nodes',
      text: 'no node that part 1 is pinned to is online (b offline)',
    });
    cluster.start('b');
    cluster.run(cluster.now + 1000);
    const again = frame(cluster);
    expect(again).toMatchObject({ tiles_per_node: { a: 2, b: 1 } });
    expect(again.fallback).toBeUndefined();
  });

  test('are asked of their node again where no other may do them, and then the frame ends', () => {
    const cluster = serving([{ ...pinned, fallback: 'none' }], ['a', 'b', 'c'], { max_tries: 3 });
    cluster.behaviour('b').errors = 1;
    expect(frame(cluster)).toMatchObject({
      outcome: 'error',
      failure: { code: 'TESSERA_RUN_FAILED', message: expect.stringMatching(/^stage 0, part 1 failed 3 times: b: /) },
    });
    expect(doers(cluster, 0).filter((node) => node === 'b')).toHaveLength(3);
  });
});

describe('a stage whose nodes cannot do it', () => {
  const on = { mode: 'share', nodes: ['a', 'b'] } as const;

  test('is done by central without another word', () => {
    expect(frame(serving([{ tiles: 2, on }], ['c'])).tiles_per_node).toEqual({ central: 2 });
  });

  test('is done by any node agent that becomes ready for it, and not by central: `nodes`', () => {
    expect(frame(serving([{ tiles: 2, on, fallback: 'nodes' }], ['c', 'd'])).tiles_per_node).toEqual({ c: 1, d: 1 });
  });

  test('is done by the nodes that the fallback names, central among them', () => {
    const cluster = serving([{ tiles: 2, on, fallback: ['c', CENTRAL] }], ['d']);
    expect(frame(cluster).tiles_per_node).toEqual({ central: 2 });
    cluster.start('c');
    cluster.run(cluster.now + 1000);
    expect(frame(cluster).nodes).toContain('c');
  });

  test('waits for a node that still prepares it', () => {
    const cluster = serving([{ tiles: 2, on, fallback: 'none' }], ['a']);
    cluster.kill('a');
    cluster.start('a', {});
    cluster.behaviour('a').prepareMs = 2000;
    expect(frame(cluster)).toMatchObject({ outcome: 'ok', tiles_per_node: { a: 2 } });
  });

  test.each([
    [
      'nobody',
      'none',
      [],
      'no node that the plan names is online (a, b never seen); the plan lets no other node do it',
    ],
    ['one that refuses', 'none', ['a'], 'a refuses: no room; b never seen; the plan lets no other node do it'],
    [
      'stand-ins that are away',
      ['x', 'y'],
      [],
      'no node that the plan names is online (a, b never seen); no node that may stand in for them is online (x, y never seen)',
    ],
    [
      'no agent at all',
      'nodes',
      [],
      'no node that the plan names is online (a, b never seen); no node that may stand in for them is online',
    ],
  ] as const)('ends the frame and says what is missing: %s', (_, fallback, nodes, text) => {
    const cluster = new Cluster();
    const facts = sketchPlan([{ tiles: 2, on, fallback }]);
    for (const node of nodes) cluster.start(node, { prepareMs: 1e9 });
    cluster.plan('m', facts);
    for (const node of nodes)
      cluster.tell({ type: 'node-refused', node, plan: facts.plan.id, code: 'TESSERA_RUN_FAILED', text: 'no room' });
    cluster.run(30_000);
    expect(frame(cluster)).toMatchObject({
      outcome: 'error',
      failure: { code: 'TESSERA_NO_NODES', message: `stage 0 of plan ${facts.plan.id}: ${text}` },
    });
  });

  test('waits where its node is silent, until the node is heard again or is known to be offline', () => {
    const cluster = serving([{ tiles: 2, on, fallback: 'none' }], ['a']);
    cluster.pause('a');
    cluster.offer('front');
    cluster.run(cluster.now + 10_000);
    expect(cluster.coordinator.snapshot()).toMatchObject({ open_frames: 1, nodes: { a: { presence: 'suspect' } } });
    cluster.resume('a');
    cluster.settle();
    expect(cluster.published.at(-1)).toMatchObject({ outcome: 'ok', tiles_per_node: { a: 2 } });
    cluster.pause('a');
    cluster.offer('front');
    cluster.run(cluster.now + 10_000);
    cluster.kill('a');
    cluster.settle();
    expect(cluster.published.at(-1)?.failure?.message).toContain('(a offline, b never seen)');
  });

  test('ends the frame where nodes leave under way', () => {
    const cluster = serving([{ tiles: 2, cost: 1e9, on, fallback: 'none' }], ['a', 'b']);
    cluster.offer('front');
    cluster.run(cluster.now + 10);
    for (const node of ['a', 'b']) cluster.kill(node);
    cluster.settle();
    expect(cluster.published.at(-1)).toMatchObject({
      failure: { code: 'TESSERA_NO_NODES', message: expect.stringContaining('(a, b offline)') },
    });
  });
});

describe('a stage that is placed on a tier', () => {
  const on = { mode: 'share', tier: 'edge' } as const;

  test('does not run at central, unless central is of that tier', () => {
    const stage = { tiles: 4, on, fallback: 'none' } as const;
    expect(frame(serving([stage], ['a'])).tiles_per_node).toEqual({ a: 4 });
    expect(frame(serving([stage], [])).failure?.message).toMatch(
      /no node of tier edge is online; the plan lets no other/,
    );
    expect(frame(serving([stage], [], { tier: 'cloud' })).failure?.code).toBe('TESSERA_NO_NODES');
    expect(frame(serving([stage], [], { tier: 'edge' })).tiles_per_node).toEqual({ central: 4 });
    expect(frame(serving([stage], ['a'], { tier: 'edge' })).nodes).toEqual(['a', CENTRAL]);
  });
});

describe('consecutive whole stages', () => {
  const three = [
    { tiles: 1, on: everyNode },
    { tiles: 1, on: everyNode },
    { tiles: 1, on: everyNode },
  ];

  test('stay on the node that has their input, whatever the others are doing', () => {
    const cluster = serving(three, ['a', 'b', 'c'], { max_open_per_model: 3 });
    for (let i = 0; i < 9; i++) cluster.offer(`camera-${i}`);
    cluster.settle();
    expect(new Set(cluster.published.map(({ nodes }) => nodes.length))).toEqual(new Set([1]));
    expect(new Set(cluster.published.flatMap(({ nodes }) => nodes)).size).toBe(3);
  });

  test('leave it where the plan says so, or where it has left', () => {
    const cluster = serving([three[0]!, { tiles: 1, on: atCentral }, { ...three[2]!, cost: 1e9 }], ['a', 'b']);
    expect(frame(cluster).tiles_per_node).toMatchObject({ central: 1 });
    const long = serving([three[0]!, { tiles: 1, cost: 1e9, on: everyNode }], ['a', 'b']);
    long.offer('front');
    long.run(long.now + 100);
    const [first] = doers(long, 1);
    long.kill(first!);
    long.settle();
    // What it had of the frame is gone with it.
    expect(long.published.at(-1)).toMatchObject({ outcome: 'ok', nodes: [first === 'a' ? 'b' : 'a'] });
  });
});
