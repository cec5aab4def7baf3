import { describe, expect, test } from 'vitest';
import { Cluster } from '../../../bench/sim/cluster.ts';
import { atCentral, everyNode, sketchPlan, tilesAndTail } from '../../../bench/sim/plans.ts';
import { Coordinator } from '../../../central/coordinator/coordinator.ts';
import type { Event } from '../../../central/coordinator/events.ts';
import type { FrameEnd } from '../../../central/coordinator/frame-end.ts';
import { defaultOptions } from '../../../central/coordinator/options.ts';
import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import { CENTRAL, type Placement } from '../../../shared/plan/plan.ts';

const NODES = ['a', 'b', 'c', 'd'];

/** Four equal nodes, ready for a plan of 16 tiles of 10 ms and a tail of 0.1 ms on central. */
function fourNodes(options: ConstructorParameters<typeof Cluster>[0] = {}, facts = tilesAndTail(16, { cost: 1e7 })) {
  const cluster = new Cluster(options);
  for (const node of NODES) cluster.start(node);
  cluster.plan('m', facts);
  cluster.run(500);
  return cluster;
}

/** Offers one frame after another, each when the one before has ended. */
function frames(cluster: Cluster, count: number): FrameEnd[] {
  const first = cluster.published.length;
  for (let i = 0; i < count; i++) {
    cluster.offer('front');
    cluster.settle();
  }
  return cluster.published.slice(first);
}

const outcomes = (ends: readonly FrameEnd[]): string[] => [...new Set(ends.map((end) => end.outcome))];

describe('sharing', () => {
  test('four equal nodes share a frame equally, in one message each, and central does the tail', () => {
    const cluster = fourNodes();
    const [end] = frames(cluster, 1);
    expect(end).toMatchObject({ outcome: 'ok', tiles_per_node: { a: 4, b: 4, c: 4, d: 4, central: 1 }, missing: [] });
    expect(cluster.work.map(({ node, t_ids }) => [node, t_ids.length])).toEqual([
      ...NODES.map((node) => [node, 4]),
      [CENTRAL, 1],
    ]);
    expect(end!.bytes_up).toBe(16 * 10_000);
    expect(end!.bytes_down).toBe(16 * 10_000);
    expect(end!.trace.filter((tile) => tile.used)).toHaveLength(17);
  });

  test('a node at half the speed gets half the tiles', () => {
    const cluster = fourNodes();
    frames(cluster, 5);
    cluster.behaviour('d').speed = 0.5e6;
    const ends = frames(cluster, 20);
    // 16 tiles over speeds 2:2:2:1: the slowest node is done first with 5,5,4,2 (Algorithm 3).
    expect(ends.at(-1)!.tiles_per_node).toMatchObject({ d: 2 });
    expect(outcomes(ends)).toEqual(['ok']);
  });

  test('a node that was slow once gets its share back: probes keep measuring its speed', () => {
    const cluster = fourNodes();
    cluster.behaviour('d').speed = 2e4;
    frames(cluster, 20);
    expect(cluster.published.at(-1)!.tiles_per_node.d).toBeUndefined();
    cluster.behaviour('d').speed = 1e6;
    frames(cluster, 30);
    expect(cluster.published.at(-1)!.tiles_per_node.d).toBe(4);
  });

  test('a node behind a slow link gets fewer tiles than its speed alone would give it', () => {
    const cluster = fourNodes({}, tilesAndTail(16, { cost: 1e7, bytes_in: 100_000 }));
    cluster.behaviour('d').bytesPerMs = 5_000;
    frames(cluster, 20);
    expect(cluster.published.at(-1)!.tiles_per_node.d).toBeLessThan(4);
  });

  test('replicate sends each frame whole to one node, and several frames to several nodes', () => {
    const whole = sketchPlan([{ tiles: 1, cost: 1e8, on: { mode: 'replicate', nodes: '*' } }]);
    const cluster = fourNodes({ camera: { ...defaultPolicy, keep: 'every' } }, whole);
    for (let i = 0; i < 4; i++) cluster.offer('front');
    cluster.settle();
    expect(cluster.published.flatMap((end) => end.nodes).sort()).toEqual(NODES);
  });

  test('two consecutive tile stages: the second begins when the first is complete', () => {
    const cluster = fourNodes({}, sketchPlan([{ tiles: 8 }, { tiles: 4 }, { tiles: 1, on: everyNode }]));
    const [end] = frames(cluster, 1);
    expect(end!.outcome).toBe('ok');
    const sent = (stage: number): number[] =>
      end!.trace.filter((tile) => tile.stage === stage).map((tile) => tile.sent_ms!);
    const received = (stage: number): number[] =>
      end!.trace.filter((tile) => tile.stage === stage).map((tile) => tile.received_ms!);
    expect(Math.min(...sent(1))).toBeGreaterThanOrEqual(Math.max(...received(0)));
    expect(Math.min(...sent(2))).toBeGreaterThanOrEqual(Math.max(...received(1)));
  });

  test('a node that joins while frames are being answered is prepared and gets work', () => {
    const cluster = fourNodes();
    frames(cluster, 3);
    cluster.start('e');
    cluster.run(cluster.now + 100);
    expect(frames(cluster, 10).at(-1)!.nodes).toContain('e');
  });

  test('memory: a node never has more tiles at a time than it announced that fit', () => {
    const cluster = new Cluster();
    cluster.start('a');
    cluster.tell({ type: 'node-online', node: 'a', boot_id: '1', tier: 'edge', memory_bytes: 65_000 });
    cluster.plan('m', tilesAndTail(16));
    cluster.run(500);
    expect(outcomes(frames(cluster, 3))).toEqual(['ok']);
    expect(Math.max(...cluster.work.filter((work) => work.node === 'a').map((work) => work.t_ids.length))).toBe(3);
  });

  test('memory: a node that ran out of memory gets fewer tiles, and its full share again once they fit', () => {
    const cluster = fourNodes({}, tilesAndTail(32, { cost: 1e7 }));
    frames(cluster, 5);
    const share = (): number => frames(cluster, 1)[0]!.tiles_per_node.d ?? 0;
    expect(share()).toBe(8);
    cluster.behaviour('d').memoryBytes = 50_000;
    expect(outcomes(frames(cluster, 10))).toEqual(['ok']);
    expect(share()).toBeLessThanOrEqual(2);
    const { errors } = cluster.coordinator.snapshot().nodes.d!;
    cluster.behaviour('d').memoryBytes = Number.POSITIVE_INFINITY;
    for (let minute = 0; minute < 10; minute++) {
      cluster.run(cluster.now + 60_000);
      frames(cluster, 1);
    }
    expect(share()).toBe(8);
    expect(cluster.coordinator.snapshot().nodes.d!.errors).toBe(errors);
  });
});

const defaultPolicy = { keep: 'newest', queue_max: 256, max_fps: 0, deadline: 'wait', deadline_ms: 500 } as const;

describe('faults', () => {
  test('tiles of a node that dies are sent to the others at once', () => {
    const cluster = fourNodes();
    cluster.offer('front');
    cluster.run(cluster.now + 15);
    cluster.kill('a');
    cluster.settle();
    const end = cluster.published[0]!;
    expect(end.outcome).toBe('ok');
    expect(end.latency_ms).toBeLessThan(120);
    expect(end.trace.some((tile) => tile.node === 'a' && !tile.used)).toBe(true);
  });

  test('a frame tells when its turn had come, when it was decoded, and when it was complete', () => {
    const cluster = fourNodes();
    frames(cluster, 1);
    const { steps, latency_ms, trace } = cluster.published[0]!;
    const { accepted_ms, opened_ms, finishing_ms } = steps!;
    const sent = Math.min(...trace.map(({ sent_ms }) => sent_ms!));
    const received = Math.max(...trace.map(({ received_ms }) => received_ms!));
    const order = [0, accepted_ms, opened_ms!, sent, received, finishing_ms!, latency_ms];
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  test("a stopped node's tiles are hedged long before it is suspect, and its late results do no harm", () => {
    const cluster = fourNodes();
    frames(cluster, 10);
    cluster.offer('front');
    cluster.run(cluster.now + 6);
    cluster.pause('b');
    cluster.run(cluster.now + 300);
    expect(cluster.published).toHaveLength(11);
    expect(cluster.published[10]!.latency_ms).toBeLessThan(300);
    expect(cluster.published[10]!.trace.some((tile) => tile.hedged && tile.used)).toBe(true);
    // Each part is cancelled once another node has done it.
    expect(cluster.cancelled.map(({ node, t_ids }) => [node, t_ids.length])).toEqual(new Array(4).fill(['b', 1]));
    // The stopped node keeps its connection, so it gets work again, but less: silence counts as slowness.
    for (let i = 0; i < 3; i++) {
      cluster.offer('front');
      cluster.run(cluster.now + 200);
    }
    const asked = cluster.work.filter(({ i_id }) => i_id === '7-13');
    expect(asked.find(({ node }) => node === 'b')!.t_ids.length).toBeLessThan(4);
    cluster.resume('b');
    cluster.run(cluster.now + 1_000);
    expect(cluster.coordinator.snapshot().discarded.late).toBeGreaterThan(0);
    expect(outcomes(frames(cluster, 20))).toEqual(['ok']);
    expect(cluster.published.at(-1)!.nodes).toContain('b');
  });

  test('parts that a node did not begin before they were cancelled are not its errors, and no failures of the parts', () => {
    const cluster = fourNodes();
    frames(cluster, 5);
    cluster.behaviour('d').speed = 2e4;
    const [end] = frames(cluster, 1);
    expect(cluster.cancelled.some(({ node }) => node === 'd')).toBe(true);
    expect(cluster.coordinator.snapshot().nodes.d).toMatchObject({ errors: 0 });
    expect(end).toMatchObject({ outcome: 'ok' });
    expect(end!.trace.filter(({ hedged }) => !hedged)).toHaveLength(17);
  });

  test('a hedge that finds all nodes busy is tried again when one is idle', () => {
    const cluster = new Cluster({ answer_floor_ms: 30_000 });
    cluster.start('a');
    cluster.start('b');
    const { plan, frame_bytes, answers, stages } = sketchPlan([{ tiles: 2, cost: 1e8 }]);
    const [short, part] = stages[0]!.parts;
    cluster.plan('m', { plan, frame_bytes, answers, stages: [{ parts: [short!, { ...part!, cost: 1e9 }] }] });
    cluster.run(500);
    frames(cluster, 3);
    cluster.offer('front');
    cluster.run(cluster.now + 10);
    const worker = (t_id: number): string => cluster.work.findLast(({ t_ids }) => t_ids.includes(t_id))!.node;
    const [stopped, other] = [worker(0), worker(1)];
    cluster.pause(stopped);
    cluster.run(cluster.now + 2_000);
    // The other node computes its own tile for 1 s, then the 100 ms of the stopped one; no node is suspect before 3.5
    // s.
    expect(cluster.published[3]).toMatchObject({ outcome: 'ok', tiles_per_node: { [other]: 2 } });
    expect(cluster.published[3]!.latency_ms).toBeLessThan(1_800);
  });

  test('after three missed heartbeats a node gets no work until its next heartbeat', () => {
    const cluster = fourNodes();
    cluster.pause('c');
    cluster.run(cluster.now + 5_000);
    expect(cluster.coordinator.snapshot().nodes.c!.presence).toBe('suspect');
    const before = cluster.work.length;
    expect(frames(cluster, 3).every((end) => end.latency_ms < 100)).toBe(true);
    expect(cluster.work.slice(before).some((work) => work.node === 'c')).toBe(false);
    cluster.resume('c');
    cluster.run(cluster.now + 2_000);
    expect(cluster.coordinator.snapshot().nodes.c!.presence).toBe('online');
    expect(frames(cluster, 3).at(-1)!.nodes).toContain('c');
  });

  test('a node that answers every part with an error costs a re-send, not a frame', () => {
    const cluster = fourNodes();
    cluster.behaviour('a').errors = 1;
    const ends = frames(cluster, 10);
    expect(outcomes(ends)).toEqual(['ok']);
    expect(ends.every((end) => !end.nodes.includes('a'))).toBe(true);
  });

  test('a node that never answers but sends heartbeats loses its share', () => {
    const cluster = fourNodes();
    cluster.behaviour('a').lost = 1;
    const ends = frames(cluster, 30);
    expect(outcomes(ends)).toEqual(['ok']);
    expect(ends.at(-1)!.latency_ms).toBeLessThan(150);
  });

  test('a node that no longer has the plan is asked to prepare it again', () => {
    const cluster = fourNodes();
    frames(cluster, 1);
    cluster.tell({ type: 'node-online', node: 'a', boot_id: 'other', tier: 'edge' });
    expect(outcomes(frames(cluster, 5))).toEqual(['ok']);
    expect(cluster.published.at(-1)!.nodes).toContain('a');
  });

  test('without any node central computes everything itself', () => {
    const cluster = new Cluster();
    cluster.plan('m', tilesAndTail(16));
    cluster.offer('front');
    cluster.settle();
    expect(cluster.published[0]).toMatchObject({ outcome: 'ok', tiles_per_node: { central: 17 } });
    expect(cluster.published[0]!.bytes_up).toBe(0);
  });

  test('when the last node leaves in the middle of a frame, central finishes it', () => {
    const cluster = fourNodes();
    cluster.offer('front');
    cluster.run(cluster.now + 15);
    for (const node of NODES) cluster.kill(node);
    cluster.settle();
    expect(cluster.published[0]!.outcome).toBe('ok');
    expect(cluster.published[0]!.nodes).toContain(CENTRAL);
    cluster.start('a');
    cluster.run(cluster.now + 200);
    expect(frames(cluster, 2).at(-1)!.tiles_per_node).toEqual({ a: 16, central: 1 });
  });

  test('where central cannot compute the part either, the frame ends with the reason', () => {
    const cluster = new Cluster();
    cluster.behaviour(CENTRAL).prepareMs = 1e9;
    cluster.plan('m', tilesAndTail(4));
    cluster.tell({ type: 'node-refused', node: CENTRAL, plan: tilesAndTail(4).plan.id, code: 'x', text: 'no memory' });
    cluster.offer('front');
    cluster.settle();
    expect(cluster.published[0]).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_NO_NODES' } });
    expect(cluster.published[0]!.failure!.message).toContain('no memory');
  });

  test("a tile that fails on every node ends its frame with an error, and the next model's frames are unaffected", () => {
    const cluster = fourNodes();
    for (const node of [...NODES, CENTRAL]) cluster.behaviour(node).errors = 1;
    expect(frames(cluster, 1)[0]).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_RUN_FAILED' } });
    for (const node of [...NODES, CENTRAL]) cluster.behaviour(node).errors = 0;
    expect(outcomes(frames(cluster, 3))).toEqual(['ok']);
  });

  test('a part whose outputs do not match the request is sent again', () => {
    const cluster = fourNodes();
    cluster.badMove = 0.2;
    expect(outcomes(frames(cluster, 20))).toEqual(['ok']);
  });

  test('a frame that cannot be decoded ends with an error', () => {
    const cluster = fourNodes();
    cluster.badFrame = 1;
    expect(frames(cluster, 1)[0]).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_INPUT_INVALID' } });
  });

  test('after central itself was paused, no node is suspected because of the pause', () => {
    const cluster = fourNodes();
    // Ten seconds in which no event is delivered: the first is a timer that is long due, then come the events that
    // queued up.
    cluster.now += 10_000;
    const presences = (): string[] => {
      const { nodes } = cluster.coordinator.snapshot();
      return NODES.map((node) => nodes[node]!.presence);
    };
    cluster.tell({ type: 'timer' });
    expect(presences()).toEqual(['online', 'online', 'online', 'online']);
    for (const node of NODES.slice(1)) cluster.tell({ type: 'heartbeat', node });
    for (const node of NODES) cluster.pause(node);
    cluster.run(cluster.now + 100);
    expect(presences()).toEqual(['suspect', 'online', 'online', 'online']);
  });
});

describe('early exits', () => {
  /** Eight tiles, an exit on central, four tiles that would follow, a tail. */
  const twoHalves = sketchPlan([
    { tiles: 8, cost: 1e7 },
    { tiles: 1, cost: 1e5, on: atCentral, exit: true },
    { tiles: 4, cost: 1e7 },
    { tiles: 1, cost: 1e5, on: atCentral },
  ]);
  const stagesWorked = (cluster: Cluster): number[] => [...new Set(cluster.work.map(({ stage }) => stage))];

  test('a confident exit ends the frame: no later stage is sent to a node, and the result names the exit', () => {
    const cluster = fourNodes({}, twoHalves);
    cluster.confident = 1;
    const [end] = frames(cluster, 1);
    expect(end).toMatchObject({ outcome: 'ok', exit: 'exit1', missing: [], tiles_per_node: { central: 1 } });
    expect(stagesWorked(cluster)).toEqual([0, 1]);
  });

  test('an exit that is not confident changes nothing', () => {
    const cluster = fourNodes({}, twoHalves);
    const [end] = frames(cluster, 1);
    expect(end).toMatchObject({ outcome: 'ok', exit: null });
    expect(stagesWorked(cluster)).toEqual([0, 1, 2, 3]);
  });

  /** The exit starts at the same time as the tiles. */
  const beside = sketchPlan([
    { tiles: 8, cost: 1e7 },
    { tiles: 1, cost: 1e5, on: atCentral, reads: 't0', exit: true },
  ]);

  test('parts of a branch that the exit does not need are cancelled, and their results are ignored', () => {
    const cluster = fourNodes({}, beside);
    cluster.confident = 1;
    const [end] = frames(cluster, 1);
    expect(end).toMatchObject({ outcome: 'ok', exit: 'exit1', nodes: [CENTRAL] });
    expect(new Set(cluster.cancelled.map(({ node }) => node))).toEqual(new Set(NODES));
    const { discarded, nodes, extra } = cluster.coordinator.snapshot();
    expect(discarded.late).toBeGreaterThan(0);
    expect(extra).toMatchObject({ resent: 0, hedged: 0 });
    for (const node of NODES) expect(nodes[node]).toMatchObject({ unanswered: 0, queued: 0, tiles: 0 });
  });

  test('outputs found wrong after the exit was taken and T_L has passed are not filled with zeros any more', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, deadline: 'fill', deadline_ms: 60 } }, beside);
    cluster.moveMs = 200;
    cluster.offer('front');
    cluster.run(cluster.now + 100);
    const { i_id } = cluster.work.at(-1)!;
    cluster.tell({ type: 'regions-moved', i_id, stage: 1, t_id: 0, ok: true, exit: true });
    cluster.tell({ type: 'regions-moved', i_id, stage: 0, t_id: 0, ok: false });
    expect(cluster.last).toEqual([]);
    cluster.settle();
    expect(cluster.published).toMatchObject([{ outcome: 'ok', exit: 'exit1', missing: [] }]);
  });

  test('an exit taken on a feature map with missing tiles is degraded', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, deadline: 'fill', deadline_ms: 60 } }, twoHalves);
    frames(cluster, 3);
    cluster.confident = 1;
    cluster.pause('d');
    const [end] = frames(cluster, 1);
    expect(end).toMatchObject({ outcome: 'degraded', exit: 'exit1' });
    expect(end!.missing.length).toBeGreaterThan(0);
  });
});

describe('deadlines', () => {
  test('fill: tiles missing at T_L are zeros, and the result lists them', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, deadline: 'fill', deadline_ms: 60 } });
    cluster.behaviour('d').delayMs = 500;
    const end = frames(cluster, 1)[0]!;
    expect(end.outcome).toBe('degraded');
    expect(end.missing.map((tile) => tile.stage)).toEqual([0, 0, 0, 0]);
    expect(end.latency_ms).toBeLessThan(70);
    expect(end.failure).toBeUndefined();
  });

  test('fill: a frame of which every tile is missing ends with an error', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, deadline: 'fill', deadline_ms: 60 } });
    for (const node of NODES) cluster.behaviour(node).delayMs = 500;
    expect(frames(cluster, 1)[0]).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_DEADLINE' } });
  });

  test('fill: a T_L beyond the hard limit ends at the hard limit, once', () => {
    const cluster = fourNodes({ hard_limit_ms: 300, camera: { ...defaultPolicy, deadline: 'fill', deadline_ms: 500 } });
    cluster.behaviour('d').delayMs = 2_000;
    cluster.offer('front');
    cluster.tell({ type: 'node-offline', node: 'c' });
    cluster.settle();
    expect(cluster.published).toHaveLength(1);
    expect(cluster.published[0]!.latency_ms).toBeLessThan(310);
  });

  test('fill: a tile whose outputs are found wrong after T_L is zeros and is not sent again', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, deadline: 'fill', deadline_ms: 60 } });
    cluster.moveMs = 30;
    cluster.badMove = 0.5;
    const ends = frames(cluster, 20);
    expect(outcomes(ends)).toContain('degraded');
    const sent = ends.flatMap((end) => end.trace.filter(({ stage }) => stage === 0).map((tile) => tile.sent_ms!));
    expect(Math.max(...sent)).toBeLessThan(63);
  });

  test('wait: ends at the hard limit', () => {
    const cluster = fourNodes({ hard_limit_ms: 2_000 });
    cluster.behaviour(CENTRAL).speed = 1;
    const end = frames(cluster, 1)[0]!;
    expect(end).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_DEADLINE' } });
    expect(end.latency_ms).toBeCloseTo(2_000, -1);
  });
});

describe('acceptance', () => {
  test('newest: one frame waits, newer ones take its place, and each is counted', () => {
    const cluster = fourNodes({ max_open_per_model: 1 });
    for (let i = 0; i < 10; i++) cluster.offer('front', `f${i}`);
    cluster.settle();
    expect(cluster.published.map((end) => end.frame)).toEqual(['f0', 'f9']);
    expect(cluster.skipped.map(({ frame, reason }) => `${frame} ${reason}`)).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8].map((i) => `f${i} newer-frame`),
    );
  });

  test('every: all frames in order, up to the bound', () => {
    const cluster = fourNodes({ max_open_per_model: 2, camera: { ...defaultPolicy, keep: 'every', queue_max: 5 } });
    for (let i = 0; i < 10; i++) cluster.offer('front', `f${i}`);
    cluster.settle();
    expect(cluster.published.map((end) => end.frame)).toEqual(['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6']);
    expect(cluster.skipped.map((skip) => skip.reason)).toEqual(['queue-full', 'queue-full', 'queue-full']);
  });

  test('as many frames are under way as the nodes can work at together, and one more', () => {
    const replicate: Placement = { mode: 'replicate', nodes: '*' };
    const most = (facts: SchedulablePlan): number => {
      const cluster = fourNodes({ camera: { ...defaultPolicy, keep: 'every' } }, facts);
      for (let i = 0; i < 20; i++) cluster.offer('front');
      return cluster.coordinator.snapshot().open_frames;
    };
    expect(most(sketchPlan([{ tiles: 1, on: replicate }]))).toBe(5);
    expect(most(sketchPlan([1, 2, 3].map(() => ({ tiles: 1, on: replicate }))))).toBe(5);
    // Two frames have their tiles at nodes of their own, and a third one is at central.
    expect(most(tilesAndTail(2))).toBe(4);
    expect(most(tilesAndTail(16))).toBe(3);
  });

  test('cameras take turns, however many frames one of them sends', () => {
    const cluster = fourNodes({ max_open_per_model: 1, camera: { ...defaultPolicy, keep: 'every' } });
    for (let i = 0; i < 20; i++) cluster.offer('busy');
    for (let i = 0; i < 3; i++) cluster.offer('quiet');
    cluster.settle();
    const order = cluster.published.map((end) => end.camera);
    expect(order.slice(0, 7).filter((camera) => camera === 'quiet')).toHaveLength(3);
  });

  test('max_fps: a stream at the limit passes, jitter included; one at twice the limit is halved', () => {
    const cluster = fourNodes();
    cluster.tell({ type: 'camera-config', camera: 'front', policy: { max_fps: 5 } });
    cluster.tell({ type: 'camera-config', camera: 'fast', policy: { max_fps: 5 } });
    for (let i = 0; i < 50; i++) cluster.at(1_000 + i * 200 + (i % 3) * 7, () => cluster.offer('front'));
    for (let i = 0; i < 100; i++) cluster.at(1_000 + i * 100, () => cluster.offer('fast'));
    cluster.run(12_000);
    const done = (name: string): number =>
      cluster.published.filter(({ camera, outcome }) => camera === name && outcome === 'ok').length;
    expect(done('front')).toBe(50);
    expect(done('fast')).toBeGreaterThanOrEqual(49);
    expect(done('fast')).toBeLessThanOrEqual(51);
  });

  test('a camera that is forgotten loses its rate and makes room; one that was configured keeps it among any number', () => {
    const cluster = fourNodes();
    for (const camera of ['kept', 'gone']) cluster.tell({ type: 'camera-config', camera, policy: { max_fps: 1 } });
    cluster.tell({ type: 'camera-forgotten', camera: 'gone' });
    for (let i = 0; i < 1100; i++) cluster.tell({ type: 'frame-known', camera: `x-${i}`, frame: 'f' });
    for (let i = 0; i < 4; i++)
      for (const camera of ['kept', 'gone']) cluster.at(1_000 + i * 100, () => cluster.offer(camera));
    cluster.run(5_000);
    const done = (name: string): number => cluster.published.filter(({ camera }) => camera === name).length;
    expect([done('kept'), done('gone')]).toEqual([1, 4]);
  });

  test('one picture for two models is one payload and two results', () => {
    const cluster = fourNodes();
    cluster.plan('other', sketchPlan([{ tiles: 4 }], 5));
    cluster.run(cluster.now + 500);
    cluster.offer('front', 'f', ['m', 'other']);
    cluster.settle();
    expect(cluster.published.map((end) => end.model).sort()).toEqual(['m', 'other']);
    expect(cluster.coordinator.snapshot().payload_bytes).toBe(0);
  });

  test('a frame without a model, a second frame with the same id, and a frame over the byte limit are skipped with the reason', () => {
    const cluster = fourNodes({ max_payload_bytes: 100_000 });
    cluster.offer('front', 'f', ['nobody']);
    cluster.tell({
      type: 'frame-offered',
      ref: 'x',
      camera: 'front',
      frame: 'id',
      models: ['m'],
      bytes: 1,
      dedupe: true,
    });
    cluster.tell({
      type: 'frame-offered',
      ref: 'y',
      camera: 'front',
      frame: 'id',
      models: ['m'],
      bytes: 1,
      dedupe: true,
    });
    cluster.offer('front', 'big', ['m'], 100_001);
    cluster.settle();
    expect(cluster.skipped.map((skip) => skip.reason)).toEqual(['no-model', 'duplicate', 'buffers-full']);
  });

  test('a frame that the broker redelivers has one result; a frame that is sent again after a restart has a result of its own', () => {
    const cluster = fourNodes();
    let ref = 0;
    const offer = (frame: string, dedupe: boolean, redelivered: boolean): void => {
      const offered = { camera: 'front', frame, models: ['m'], bytes: 1, dedupe, redelivered };
      cluster.tell({ type: 'frame-offered', ref: `d${ref++}`, ...offered });
      cluster.settle();
    };
    // Named by its content: a camera in front of a still scene sends the same bytes again, and each is a frame.
    offer('hash', false, false);
    offer('hash', false, false);
    expect(cluster.published).toHaveLength(2);
    offer('hash', false, true);
    expect(cluster.published).toHaveLength(2);
    // Ended by an earlier run of central with an error that says "send it again".
    cluster.tell({ type: 'frame-known', camera: 'front', frame: 'mine' });
    offer('mine', true, true);
    expect(cluster.published).toHaveLength(2);
    offer('mine', true, false);
    expect(cluster.published).toHaveLength(3);
    offer('mine', true, false);
    expect(cluster.published).toHaveLength(3);
    expect(cluster.skipped.map(({ reason }) => reason)).toEqual(['duplicate', 'duplicate', 'duplicate']);
  });

  test('an id that is old names another frame, unless the broker delivers the message again', () => {
    const cluster = fourNodes();
    const offer = (ref: string, redelivered: boolean): void => {
      const offered = { camera: 'front', frame: 'mine', models: ['m'], bytes: 1, dedupe: true, redelivered };
      cluster.tell({ type: 'frame-offered', ref, ...offered });
      cluster.settle();
    };
    offer('a', false);
    cluster.run(cluster.now + defaultOptions.dedupe_ms);
    offer('b', true);
    expect(cluster.published).toHaveLength(1);
    offer('c', false);
    expect(cluster.published).toHaveLength(2);
    cluster.run(cluster.now + defaultOptions.redelivery_ms);
    offer('d', true);
    expect(cluster.published).toHaveLength(3);
  });

  test('a frame that was not accepted may be sent again under its id', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, max_fps: 1 } });
    const offered = { camera: 'front', models: ['m'], bytes: 1, dedupe: true } as const;
    cluster.tell({ type: 'frame-offered', ref: 'a', frame: 'first', ...offered });
    cluster.tell({ type: 'frame-offered', ref: 'b', frame: 'second', ...offered });
    cluster.settle();
    cluster.run(cluster.now + 1000);
    cluster.tell({ type: 'frame-offered', ref: 'c', frame: 'second', ...offered });
    cluster.settle();
    expect(cluster.skipped.map(({ reason }) => reason)).toEqual(['rate-limit']);
    expect(cluster.published.map(({ frame }) => frame)).toEqual(['first', 'second']);
  });

  test('the camera with the most buffered bytes loses its frames first', () => {
    const cluster = fourNodes({ max_payload_bytes: 100_000, camera: { ...defaultPolicy, keep: 'every' } });
    for (let i = 0; i < 30; i++) cluster.offer('flood', `f${i}`, ['m'], 10_000);
    for (let i = 0; i < 3; i++) cluster.offer('calm', `c${i}`, ['m'], 10_000);
    const { waiting, payload_bytes } = cluster.coordinator.snapshot();
    expect(payload_bytes).toBeLessThanOrEqual(100_000);
    expect(waiting.calm).toBe(3);
    expect(cluster.skipped.filter(({ camera }) => camera === 'calm')).toEqual([]);
    expect(cluster.skipped.filter(({ reason }) => reason === 'buffers-full').length).toBeGreaterThan(20);
    cluster.settle();
    expect(cluster.published.filter(({ camera }) => camera === 'calm')).toHaveLength(3);
    expect(cluster.published.every(({ outcome }) => outcome === 'ok')).toBe(true);
  });

  test('a camera that floods gets every second turn, however many of its frames wait', () => {
    const cluster = fourNodes({ max_open_per_model: 1, camera: { ...defaultPolicy, keep: 'every' } });
    for (let i = 0; i < 100; i++) cluster.offer('flood', `f${i}`);
    for (let i = 0; i < 10; i++) cluster.offer('calm', `c${i}`);
    cluster.settle();
    const order = cluster.published.map(({ camera }) => camera);
    // While both have frames waiting, neither is served twice in a row; the first frame finds the queue empty.
    expect(order.slice(1, 20).filter((camera) => camera === 'calm')).toHaveLength(10);
  });

  test('bytes of open frames stay within the cap; a frame larger than the cap runs alone', () => {
    const facts = sketchPlan([{ tiles: 4 }], 0, 600);
    const cluster = fourNodes({ max_open_bytes: 1_000, camera: { ...defaultPolicy, keep: 'every' } }, facts);
    for (let i = 0; i < 5; i++) cluster.offer('front');
    cluster.settle();
    expect(cluster.published).toHaveLength(5);
  });

  test('frames wait for the first plan to be ready, and start without nodes that take too long to prepare it', () => {
    const cluster = new Cluster();
    cluster.start('a');
    cluster.start('b', { prepareMs: 60_000 });
    cluster.plan('m', tilesAndTail(4));
    cluster.offer('front', 'early');
    cluster.run(2_000);
    expect(cluster.published).toHaveLength(0);
    cluster.run(4_000);
    expect(cluster.published.map((end) => [end.frame, end.nodes])).toEqual([['early', ['a', CENTRAL]]]);
  });

  test('a new plan takes over when it is ready; frames end with the plan that they started with', () => {
    const cluster = fourNodes({ camera: { ...defaultPolicy, keep: 'every' } });
    const next = tilesAndTail(4, { cost: 4e7 }, 3);
    for (let i = 0; i < 3; i++) cluster.offer('front');
    cluster.run(cluster.now + 10);
    cluster.plan('m', next);
    cluster.offer('front');
    cluster.settle();
    cluster.run(cluster.now + 500);
    cluster.offer('front');
    cluster.settle();
    const old = tilesAndTail(16, { cost: 1e7 }).plan.id;
    expect(cluster.published.map((end) => end.plan)).toEqual([old, old, old, next.plan.id, next.plan.id]);
    expect(Object.keys(cluster.coordinator.snapshot().nodes.a!.plans)).toEqual([next.plan.id]);
  });

  test('a plan with a stage that no node can do does not replace one that works, and does once a node can', () => {
    const cluster = fourNodes();
    const on = { mode: 'share', nodes: ['e'] } as const;
    const misspelt = sketchPlan([{ tiles: 2, on, fallback: 'none' }], 1);
    cluster.plan('m', misspelt);
    cluster.run(cluster.now + 60_000);
    expect(outcomes(frames(cluster, 2))).toEqual(['ok']);
    cluster.start('e');
    cluster.run(cluster.now + 1000);
    expect(frames(cluster, 1)[0]).toMatchObject({ plan: misspelt.plan.id, tiles_per_node: { e: 2 } });
  });

  test('offering the current plan again changes nothing', () => {
    const cluster = fourNodes();
    cluster.plan('m', tilesAndTail(16, { cost: 1e7 }));
    expect(cluster.last).toEqual([]);
  });

  test('a plan that is offered again and again takes over as soon as one that is offered once', () => {
    const cluster = fourNodes();
    cluster.start('e', { prepareMs: 60_000 });
    const next = tilesAndTail(4, {}, 3);
    for (let k = 0; k < 8; k++) {
      cluster.plan('m', next);
      cluster.run(cluster.now + 500);
    }
    expect(frames(cluster, 1)[0]!.plan).toBe(next.plan.id);
  });

  test('drain finishes open frames and skips new ones; stop ends all frames at once', () => {
    const cluster = fourNodes({ max_open_per_model: 1, camera: { ...defaultPolicy, keep: 'every' } });
    for (let i = 0; i < 3; i++) cluster.offer('front');
    cluster.tell({ type: 'drain' });
    cluster.offer('front');
    cluster.settle();
    expect(cluster.published.map((end) => end.outcome)).toEqual(['ok']);
    expect(cluster.skipped.map((skip) => skip.reason)).toEqual(['stopping', 'stopping', 'stopping']);
    expect(cluster.drained).toBe(true);

    const other = fourNodes();
    other.offer('front');
    other.run(other.now + 10);
    other.tell({ type: 'stop' });
    expect(other.published[0]).toMatchObject({ outcome: 'error', failure: { code: 'TESSERA_CENTRAL_RESTARTED' } });
    expect(other.drained).toBe(true);
    other.settle();
  });
});

describe('credit', () => {
  test('a node never has more unanswered bytes than its window, except one message', () => {
    const cluster = fourNodes({ window_bytes: 25_000, camera: { ...defaultPolicy, keep: 'every' } });
    for (let i = 0; i < 6; i++) cluster.offer('front');
    cluster.settle();
    expect(outcomes(cluster.published)).toEqual(['ok']);
    expect(Math.max(...cluster.work.filter(({ node }) => node !== CENTRAL).map(({ t_ids }) => t_ids.length))).toBe(2);
  });

  test('the results that all nodes together owe stay within their limit, and each frame still ends', () => {
    const facts = tilesAndTail(16, { cost: 1e7, bytes_in: 100, bytes_out: 30_000 });
    const cluster = fourNodes({ owed_bytes: 70_000, camera: { ...defaultPolicy, keep: 'every' } }, facts);
    for (let i = 0; i < 6; i++) cluster.offer('front');
    let most = 0;
    while (cluster.published.length < 6) {
      cluster.run(cluster.now + 1);
      const nodes = Object.entries(cluster.coordinator.snapshot().nodes).filter(([id]) => id !== CENTRAL);
      most = Math.max(
        most,
        nodes.reduce((sum, [, node]) => sum + node.owed_bytes, 0),
      );
    }
    expect(outcomes(cluster.published)).toEqual(['ok']);
    expect(most).toBe(60_000);
  });

  test('results larger than that limit come one at a time, and smaller ones do not delay them for ever', () => {
    const facts = tilesAndTail(4, { cost: 1e7, bytes_in: 100, bytes_out: 90_000 });
    const cluster = fourNodes({ owed_bytes: 70_000, camera: { ...defaultPolicy, keep: 'every' } }, facts);
    cluster.plan('small', tilesAndTail(16, { cost: 1e7, bytes_in: 100, bytes_out: 5_000 }, 1));
    for (let i = 0; i < 5; i++) {
      cluster.offer('front', `large-${i}`);
      for (let k = 0; k < 5; k++) cluster.offer('back', `small-${i}-${k}`, ['small']);
    }
    cluster.settle();
    expect(cluster.published).toHaveLength(30);
    expect(outcomes(cluster.published)).toEqual(['ok']);
    expect(cluster.work.filter(({ node }) => node !== CENTRAL)).not.toEqual([]);
  });

  test('a tile larger than the window is sent alone', () => {
    const cluster = fourNodes({ window_bytes: 5_000 });
    expect(outcomes(frames(cluster, 2))).toEqual(['ok']);
  });
});

describe('answers to earlier prepare requests', () => {
  /** The prepare requests that nodes get, answered by hand: the plan, and the number of the request. */
  function byHand() {
    const coordinator = new Coordinator({ ...defaultOptions, epoch: 1 });
    const asked: { plan: string; request: number }[] = [];
    const work: { node: string; stage: number }[] = [];
    let at = 0;
    const tell = (event: Omit<Event, 'at'>, time = at++): void => {
      for (const effect of coordinator.handle({ ...event, at: time } as Event))
        if (effect.type === 'prepare' && effect.node === 'a')
          asked.push({ plan: effect.plan.id, request: effect.request });
        else if (effect.type === 'work') work.push({ node: effect.node, stage: effect.stage });
    };
    const state = (plan: string) => coordinator.snapshot().nodes.a!.plans[plan];
    tell({ type: 'node-online', node: 'a', boot_id: '1', tier: 'edge' } as Event);
    return { tell: tell as (event: unknown, time?: number) => void, asked, state, work };
  }
  const [one, two] = [sketchPlan([{ tiles: 2 }], 1), sketchPlan([{ tiles: 2 }], 2)];

  test('a plan that is served again is not refused because its first prepare request was abandoned', () => {
    const { tell, asked, state } = byHand();
    for (const facts of [one, two, one]) tell({ type: 'plan', model: 'm', facts });
    const plan = one.plan.id;
    const [first, , second] = asked;
    expect([first!.plan, second!.plan]).toEqual([plan, plan]);
    tell({
      type: 'node-refused',
      node: 'a',
      plan,
      code: 'TESSERA_PLAN_INVALID',
      text: 'released',
      request: first!.request,
    });
    expect(state(plan)).toBe('preparing');
    tell({ type: 'node-ready', node: 'a', plan, request: second!.request });
    expect(state(plan)).toBe('ready');
  });

  test('a node gets work of the stages that it has announced, soon, while it prepares the others', () => {
    const facts = sketchPlan([{ tiles: 2 }, { tiles: 1 }], 3);
    const { tell, asked, state, work } = byHand();
    tell({ type: 'plan', model: 'm', facts });
    const { id: plan } = facts.plan;
    tell({ type: 'node-ready', node: 'a', plan, stages: [0, 7], request: asked.at(-1)!.request });
    expect(state(plan)).toBe('preparing');
    const soon = defaultOptions.settle_ms + 100;
    for (const type of ['timer', 'timer']) tell({ type }, soon);
    tell({ type: 'node-ready', node: 'central', plan }, soon);
    tell({ type: 'frame-offered', ref: 'r', camera: 'c', frame: 'f', models: ['m'], bytes: 1, dedupe: false }, soon);
    tell({ type: 'frame-opened', i_id: '1-0' }, soon);
    expect(new Set(work.map(({ node, stage }) => `${node} ${stage}`))).toEqual(new Set(['a 0']));
  });

  test('an answer without a number counts as one to the latest request, as older nodes send it', () => {
    const { tell, state } = byHand();
    tell({ type: 'plan', model: 'm', facts: one });
    tell({ type: 'node-ready', node: 'a', plan: one.plan.id });
    expect(state(one.plan.id)).toBe('ready');
  });
});

describe('work that central does in place of nodes', () => {
  const refuse = (cluster: Cluster, node: string, text: string, code = 'TESSERA_RUN_FAILED') =>
    cluster.tell({ type: 'node-refused', node, plan: tilesAndTail(4).plan.id, code, text });

  test('is reported with the reason: no node online, not ready yet, all refuse, failed', () => {
    const cluster = new Cluster();
    cluster.plan('m', tilesAndTail(4));
    cluster.run(10_000);
    expect(frames(cluster, 1)[0]!.fallback).toEqual({
      reason: 'no-nodes',
      text: 'no node that the plan names is online',
    });
    cluster.start('a', { prepareMs: 1e6 });
    expect(frames(cluster, 1)[0]!.fallback).toEqual({ reason: 'not-ready', text: 'none of 1 node is ready yet' });
    refuse(cluster, 'a', 'no room');
    expect(frames(cluster, 1)[0]!.fallback).toEqual({ reason: 'refused', text: 'a refuses: no room' });
    cluster.start('b', { errors: 1 });
    cluster.run(cluster.now + 1000);
    expect(frames(cluster, 1)[0]!.fallback).toMatchObject({ reason: 'failed' });
    cluster.behaviour('b').errors = 0;
    expect(frames(cluster, 1)[0]!.fallback).toBeUndefined();
  });

  test("a frame that no node can compute ends with the nodes' reasons", () => {
    const cluster = new Cluster();
    for (const node of ['a', 'b']) cluster.start(node, { prepareMs: 1e6 });
    cluster.behaviour(CENTRAL).prepareMs = 1e6;
    cluster.plan('m', tilesAndTail(4));
    for (const node of ['a', 'b']) refuse(cluster, node, 'operator set 99');
    cluster.run(5000);
    refuse(cluster, CENTRAL, 'operator set 99');
    const [end] = frames(cluster, 1);
    expect(end!.failure).toMatchObject({
      code: 'TESSERA_NO_NODES',
      message: expect.stringMatching(/all 2 nodes refuse: operator set 99; so does central$/),
    });
    expect(end!.failure!.hint).not.toMatch(/start node agents/);
  });

  test('a node whose link failed is asked to prepare again, less and less often; a node that cannot run the plan is not', () => {
    const cluster = new Cluster();
    for (const node of ['a', 'b']) cluster.start(node, { prepareMs: 1e9 });
    cluster.plan('m', tilesAndTail(4));
    const asked: string[] = [];
    const wait = (ms: number): void => {
      const until = cluster.now + ms;
      for (cluster.run(cluster.now + 500); cluster.now < until; cluster.run(cluster.now + 500))
        for (const effect of cluster.last)
          if (effect.type === 'prepare' && effect.node !== CENTRAL) asked.push(effect.node);
    };
    refuse(cluster, 'a', 'central does not answer', 'TESSERA_BLOB');
    refuse(cluster, 'b', 'no room');
    const states = () => Object.entries(cluster.coordinator.snapshot().nodes).map(([id, { plans }]) => [id, plans]);
    const state = (id: string) => Object.values(Object.fromEntries(states())[id] as object)[0];
    wait(20_000);
    expect([state('a'), state('b')]).toEqual(['refused', 'refused']);
    wait(15_000);
    expect([state('a'), state('b')]).toEqual(['preparing', 'refused']);
    refuse(cluster, 'a', 'central does not answer', 'TESSERA_BLOB');
    wait(45_000);
    expect(state('a')).toBe('refused');
    wait(20_000);
    expect(state('a')).toBe('preparing');
  });

  test('a node that leaves, falls silent, returns or is slow makes an event', () => {
    const cluster = fourNodes();
    const events: string[] = [];
    const tell = cluster.tell.bind(cluster);
    cluster.tell = (event) => {
      tell(event);
      for (const effect of cluster.last)
        if (effect.type === 'node-event') events.push(`${effect.node} ${effect.event}`);
    };
    cluster.kill('a');
    cluster.start('a');
    cluster.pause('b');
    cluster.run(cluster.now + 6000);
    cluster.resume('b');
    cluster.run(cluster.now + 2000);
    frames(cluster, 5);
    // As fast as ever by its own account, but most of its results do not arrive.
    cluster.behaviour('d').lost = 0.8;
    frames(cluster, 40);
    expect(events).toEqual(
      expect.arrayContaining(['a offline', 'a online', 'a ready', 'b silent', 'b back', 'd slow']),
    );
    expect(events.filter((event) => event === 'd slow').length).toBeLessThan(5);
  });
});
