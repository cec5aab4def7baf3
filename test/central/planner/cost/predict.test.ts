import { describe, expect, test } from 'vitest';
import { composePlan, type StageDraft } from '../../../../central/planner/compose.ts';
import { predict } from '../../../../central/planner/cost/predict.ts';
import { sketch } from '../../../../central/planner/cost/sketch.ts';
import { parseProfile } from '../../../../central/planner/profile/parse.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import type { Problem } from '../../../../central/planner/strategy.ts';
import type { SchedulablePart } from '../../../../shared/plan/compiled-plan.ts';
import type { Placement, Split } from '../../../../shared/plan/plan.ts';
import { bareProfile, skipProfile } from '../profile/profiles.ts';

/** All figures are worked by hand. If the model is wrong, every strategy optimises the wrong thing. */

type Where = string | Placement;
const placement = (on: Where): Placement => (typeof on === 'string' ? { mode: 'share', nodes: [on] } : on);
const split: Split = { kind: 'whole' };

function planOf(problem: Problem, stages: readonly [inputs: string[], outputs: string[], on: Where][]) {
  const drafts = stages.map(([inputs, outputs, on]): StageDraft => {
    return { inputs, outputs, split, on: placement(on), fallback: 'central', codec: {} };
  });
  return composePlan(problem, 'test', 'test', drafts);
}
const predicted = (problem: Problem, stages: Parameters<typeof planOf>[1]) =>
  predict(problem, sketch(planOf(problem, stages), problem.graph));

describe("Scission's formula: times of blocks, and ping + bytes / bandwidth per hop", () => {
  const problem = problemOfProfile(bareProfile());

  test('everything where the frame is born', () => {
    expect(predicted(problem, [[['input'], ['c'], 'pi']])).toMatchObject({
      latency_ms: 140,
      period_ms: 140,
      transferred_bytes: 0,
      hops: [],
      agreement: 1,
      error: null,
    });
  });

  test('three machines in a row', () => {
    const result = predicted(problem, [
      [['input'], ['a'], 'pi'],
      [['a'], ['b'], 'box'],
      [['b'], ['c'], 'vm'],
    ]);
    // 40 + (5 + 4000 / 1000) + 20 + (20 + 500 / 10 000) + 1
    expect(result.latency_ms).toBeCloseTo(90.05, 9);
    expect(result.transferred_bytes).toBe(4500);
    expect(result.hops).toEqual([
      { from: 'pi', to: 'box', tensor: 'a', bytes: 4000, start_ms: 40, end_ms: 49 },
      { from: 'box', to: 'vm', tensor: 'b', bytes: 500, start_ms: 69, end_ms: expect.closeTo(89.05, 9) },
    ]);
    expect(result.stages.map(({ parts }) => parts[0]!.node)).toEqual(['pi', 'box', 'vm']);
    expect(result.period_ms).toBe(40);
    expect(result.machines.map(({ id, busy_ms, upload_bytes }) => [id, busy_ms, upload_bytes])).toEqual([
      ['pi', 40, 4000],
      ['box', 20, 500],
      ['vm', 1, 0],
    ]);
  });

  test('the frame travels to where the first stage runs', () => {
    // 50 + 1000 / 100 + 7
    expect(predicted(problem, [[['input'], ['c'], 'vm']])).toMatchObject({ latency_ms: 67, transferred_bytes: 1000 });
  });

  test('what has no link never arrives', () => {
    const back = predicted(problem, [
      [['input'], ['a'], 'box'],
      [['a'], ['c'], 'pi'],
    ]);
    expect(back.latency_ms).toBe(Number.POSITIVE_INFINITY);
  });

  test('a machine of which there are no times is named', () => {
    expect(() => predicted(problem, [[['input'], ['c'], 'moon']])).toThrow('stage 0 runs on "moon"');
  });
});

/** Two nodes at a broker on a machine of its own, with central at it too or not; 1000 bytes take 1 ms. */
function star(more: object = {}, others: readonly string[] = []): Problem {
  const { broker: _, ...bare } = bareProfile();
  const ends = ['one', 'two', ...others];
  return problemOfProfile(
    parseProfile({
      ...bare,
      source: 'one',
      broker: 'hub',
      nodes: ends.map((id, index) => ({ id, tier: 'edge', block_ms: [10, 30, 5].map((ms) => ms * (index + 1)) })),
      links: ends.flatMap((id) => [
        { from: id, to: 'hub', rtt_ms: 1, mbps: 8 },
        { from: 'hub', to: id, rtt_ms: 2, mbps: 8 },
      ]),
      ...more,
    }),
  );
}

describe('through the broker', () => {
  test('a hop has two legs', () => {
    const result = predicted(star(), [
      [['input'], ['a'], 'one'],
      [['a'], ['c'], 'two'],
    ]);
    // 10 + (1 + 4) + (2 + 4) + 70
    expect(result.latency_ms).toBe(91);
    expect(result.transferred_bytes).toBe(4000);
  });

  test('a direct link is preferred', () => {
    const links = [{ from: 'one', to: 'two', rtt_ms: 1, mbps: 80 }];
    const problem = star({ links: [...star().links, ...links] });
    const result = predicted(problem, [
      [['input'], ['a'], 'one'],
      [['a'], ['c'], 'two'],
    ]);
    // 10 + (1 + 0.4) + 70
    expect(result.latency_ms).toBeCloseTo(81.4, 9);
  });

  test('every message costs its sender and its receiver processor time', () => {
    const plain = star();
    const nodes = plain.nodes.map((node) => ({ ...node, message_ms: 3 }));
    const result = predicted({ ...plain, nodes }, [
      [['input'], ['a'], 'one'],
      [['a'], ['c'], 'two'],
    ]);
    expect(result.latency_ms).toBe(97);
    expect(result.machines.map(({ busy_ms }) => busy_ms)).toEqual([13, 73]);
  });

  test('regions go straight to their reader, and back over the broker only for what runs on central', () => {
    const problem = star({}, ['central']);
    const straight = predicted(problem, [
      [['input'], ['a'], 'one'],
      [['a'], ['c'], 'two'],
    ]);
    const over = predicted(problem, [
      [['input'], ['a'], 'one'],
      [['a'], ['b'], 'central'],
      [['b'], ['c'], 'two'],
    ]);
    expect(straight.hops.map(({ from, to }) => `${from} ${to}`)).toEqual(['one two']);
    expect(over.hops.map(({ from, to }) => `${from} ${to}`)).toEqual(['one central', 'central two']);
    // The frame is announced to central and ordered from the node: (1 + 2) + (1 + 2); central's order for the second
    // stage needs (1 + 2) + (1 + 2) too, less than the tensor.
    expect(straight.latency_ms).toBe(6 + 91);
  });

  test('a second stage at the same node waits for the order of central', () => {
    const problem = star({}, ['central']);
    const result = predicted(problem, [
      [['input'], ['a'], 'one'],
      [['a'], ['c'], 'one'],
    ]);
    expect(result.latency_ms).toBe(6 + 10 + 6 + 35);
    expect(result.transferred_bytes).toBe(0);
  });

  test('outputs travel to whoever needs them', () => {
    const { sink: _, ...problem } = star();
    // 45 + (1 + 0.01) + (2 + 0.01)
    expect(predicted({ ...problem, sink: 'two' }, [[['input'], ['c'], 'one']]).latency_ms).toBeCloseTo(48.02, 9);
  });
});

describe('a skip', () => {
  const profile = skipProfile();
  const [pi, central] = profile.nodes;
  const problem = problemOfProfile({
    ...profile,
    broker: undefined,
    source: 'pi',
    correction: undefined,
    nodes: [pi!, { ...central!, id: 'vm' }],
    links: [{ from: 'pi', to: 'vm', rtt_ms: 2, mbps: 0.8 }],
  });

  test('is sent once to each machine, in one message with what else goes there', () => {
    const result = predicted(problem, [
      [['picture'], ['one-out', 'two-out'], 'pi'],
      [['two-out'], ['three-out'], 'vm'],
      [['three-out', 'one-out'], ['four-out'], 'vm'],
    ]);
    expect(result.transferred_bytes).toBe(200);
    // 1 ms of a message, 2 ms on the way, 200 bytes in 2 ms.
    const arrived = result.hops.map(({ tensor, start_ms, end_ms }) => [tensor, start_ms, end_ms]);
    expect(arrived).toEqual([
      ['two-out', 8, 13],
      ['one-out', 8, 13],
    ]);
    expect(result.latency_ms).toBe(13 + 1);
  });

  test('two readers at one machine cost one hop', () => {
    const result = predicted(problem, [
      [['picture'], ['one-out'], 'pi'],
      [['one-out'], ['three-out'], 'vm'],
      [['three-out', 'one-out'], ['four-out'], 'vm'],
    ]);
    expect(result.transferred_bytes).toBe(100);
  });

  test('runs that were measured as one take that time, and the error is that of the rest', () => {
    const whole = predicted(problem, [[['picture'], ['four-out'], 'pi']]);
    expect(whole).toMatchObject({ latency_ms: 10, error: 0 });
    expect(predicted(problem, [[['picture'], ['four-out'], 'vm']]).error).toBe(0.3);
  });

  test('energy is that of computing and of waiting for the rest of the frame', () => {
    const { machines } = predicted(problem, [
      [['picture'], ['one-out', 'two-out'], 'pi'],
      [['two-out', 'one-out'], ['four-out'], 'vm'],
    ]);
    // The node computes 8 ms and sends a message of 1 ms; then it waits. 14 ms in all.
    expect(machines.find(({ id }) => id === 'pi')!.energy_j).toBeCloseTo((9 * 6 + 5 * 2) / 1000, 9);
    expect(machines.find(({ id }) => id === 'vm')!.energy_j).toBeNull();
  });
});

describe('parts of one stage', () => {
  const problem = star({ source: 'hub' });
  const graph = { ...problem.graph, layers: problem.graph.layers.map((layer) => ({ ...layer, macs: 100 })) };
  const part = (t_id: number, cost: number, bytes_in: number): SchedulablePart => {
    const out = [{ tensor: 'c', box: [[t_id, t_id + 1] as const], bytes: 5 }];
    return { t_id, cost, bytes_in, bytes_out: 5, reads_frame: true, links: [], out };
  };
  const tiled = (on: Placement, parts: readonly SchedulablePart[]) => {
    const plan = planOf(problem, [[['input'], ['c'], on]]);
    const rows = parts.map(() => 1);
    const stages = plan.stages.map((stage) => {
      return { ...stage, split: { kind: 'tiles', padding: 'halo', rows, cols: [1] } as const };
    });
    return predict(
      { ...problem, graph },
      { plan: { ...plan, stages }, stages: [{ parts }], answers: ['c'], frame_bytes: 0 },
    );
  };

  test('two tiles on two nodes take their shares of the stage, halo included, at the same time', () => {
    const result = tiled({ mode: 'share', nodes: ['one', 'two'], parts: ['one', 'two'] }, [
      part(0, 200, 600),
      part(1, 150, 500),
    ]);
    // Node one: 2 + 0.6 and two thirds of 45; node two: 2 + 0.5 and half of 90.
    expect(result.stages[0]!.parts).toEqual([
      { t_id: 0, node: 'one', start_ms: 2.6, end_ms: 32.6 },
      { t_id: 1, node: 'two', start_ms: 2.5, end_ms: 47.5 },
    ]);
    expect(result).toMatchObject({ latency_ms: 47.5, period_ms: 45, transferred_bytes: 1100 });
  });

  test('without pins they go where the scheduler would send them', () => {
    const parts = [0, 1, 2].map((t_id) => part(t_id, 100, 0));
    const result = tiled({ mode: 'share', nodes: ['one', 'two'] }, parts);
    expect(result.stages[0]!.parts.map(({ node }) => node)).toEqual(['one', 'one', 'two']);
    expect(result.latency_ms).toBe(32);
  });
});

test('whole frames on several nodes: one takes as long as on the fastest, many follow as fast as all together', () => {
  const problem = star();
  const near = { ...problem, source: 'hub', links: problem.links.map((link) => ({ ...link, mbps: 1e9 })) };
  const result = predicted(near, [[['input'], ['c'], { mode: 'replicate', nodes: ['one', 'two'] }]]);
  // 45 and 90 ms: a frame every 1 / (1 / 45 + 1 / 90) = 30 ms.
  expect(result.latency_ms).toBeCloseTo(47, 3);
  expect(result.period_ms).toBeCloseTo(30, 9);
  for (const { busy_ms } of result.machines.slice(0, 2)) expect(busy_ms).toBeCloseTo(30, 9);
});

describe('frames that are late', () => {
  const profile = skipProfile();
  const spread = {
    ...profile,
    nodes: [{ ...profile.nodes[0]!, runs: [] }],
    source: 'pi',
    links: [],
    broker: undefined,
  };
  const late = (deadline_ms?: number) =>
    predicted(problemOfProfile({ ...spread, correction: undefined }, undefined, { deadline_ms }), [
      [['picture'], ['four-out'], 'pi'],
    ]).late_share;

  test('are counted by the measured spread', () => {
    // 12 ms with a standard deviation of 1 ms.
    expect(late(12)).toBeCloseTo(0.5, 6);
    expect(late(13)).toBeCloseTo(0.158_655, 5);
    expect(late(10)).toBeCloseTo(0.977_25, 5);
  });

  test('are not counted without a deadline, or without a spread', () => {
    expect(late()).toBeNull();
    const problem = problemOfProfile(bareProfile(), undefined, { deadline_ms: 100 });
    expect(predicted(problem, [[['input'], ['c'], 'pi']]).late_share).toBeNull();
  });
});

describe('codecs', () => {
  const problem = {
    ...problemOfProfile(bareProfile()),
    calibrated: [{ codecs: { a: 'clip:0:4:4' }, bytes: 400, agreement: 0.97 }],
  };
  const sent = (codec: StageDraft['codec']) => {
    const plan = planOf(problem, [
      [['input'], ['a'], 'pi'],
      [['a'], ['c'], 'box'],
    ]);
    const stages = plan.stages.map((stage, index) => (index === 0 ? { ...stage, codec } : stage));
    return predict(problem, sketch({ ...plan, stages }, problem.graph));
  };

  test('send what the calibration measured, and agree as it measured', () => {
    expect(sent({ a: { name: 'clip', a: 0, b: 4, bits: 4 } })).toMatchObject({
      transferred_bytes: 400,
      agreement: 0.97,
    });
  });

  test('without a calibration send at most their bits, with an agreement that nobody knows', () => {
    expect(sent({ a: { name: 'clip', a: 0, b: 2, bits: 4 } })).toMatchObject({
      transferred_bytes: 500,
      agreement: null,
    });
    expect(sent({ a: { name: 'fp16' } })).toMatchObject({ transferred_bytes: 2000, agreement: null });
    expect(sent({ a: { name: 'packed' } })).toMatchObject({ transferred_bytes: 4000, agreement: 1 });
  });
});
