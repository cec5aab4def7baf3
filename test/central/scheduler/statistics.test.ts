import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  estimateSpeeds,
  ewma,
  forgetPlan,
  linkOf,
  newStatistics,
  observeAtMost,
  observeLink,
  observeResponse,
  observeWork,
  RESPONSES,
  slowResponse,
  stageKey,
} from '../../../central/scheduler/statistics.ts';

const KEY = stageKey('p-1', 0);

test('Algorithm 2: s <- (1 - gamma) s + gamma n, beginning with the first observation', () => {
  expect(ewma(undefined, 8, 0.25)).toBe(8);
  expect(ewma(8, 4, 0.25)).toBe(7);
});

test('the statistic is speed: a node that did all its parts at half the pace counts half', () => {
  const [fast, slow] = [newStatistics(), newStatistics()];
  observeWork(fast, KEY, 1e6, 10, 0.3);
  observeWork(slow, KEY, 1e6, 20, 0.3);
  expect(fast.stages.get(KEY)!.speed).toBe(1e8);
  expect(slow.stages.get(KEY)!.speed).toBe(5e7);
});

test('silence lowers a speed and never raises it', () => {
  const node = newStatistics();
  observeWork(node, KEY, 1e6, 10, 0.5);
  observeAtMost(node, KEY, 2e8, 0.5);
  expect(node.stages.get(KEY)!.speed).toBe(1e8);
  observeAtMost(node, KEY, 5e7, 0.5);
  expect(node.stages.get(KEY)!.speed).toBe(7.5e7);
});

describe('speeds to allocate by', () => {
  test('no node has computed a part: unknown', () => {
    expect(estimateSpeeds([newStatistics(), newStatistics()], KEY)).toEqual([undefined, undefined]);
  });

  test('a new node counts as the median of the others, so that it gets work at once', () => {
    const nodes = [1, 2, 4].map((ms) => {
      const node = newStatistics();
      observeWork(node, KEY, 1e3, ms, 1);
      return node;
    });
    expect(estimateSpeeds([...nodes, newStatistics()], KEY)).toEqual([1e6, 5e5, 2.5e5, 5e5]);
  });

  test('a node known from another stage is scaled by the ratio of the stages at nodes that know both', () => {
    const [both, other] = [newStatistics(), newStatistics()];
    observeWork(both, stageKey('p-0', 0), 1e6, 1, 1);
    observeWork(both, KEY, 1e6, 10, 0.5);
    observeWork(other, stageKey('p-0', 0), 1e6, 2, 1);
    // both: 1e8 here, 5.5e8 over all; other: 5e8 over all
    const [here, estimated] = estimateSpeeds([both, other], KEY);
    expect(here).toBe(1e8);
    expect(estimated).toBeCloseTo((5e8 * 1e8) / 5.5e8, 0);
  });

  test('a difference within the noise of its own measurements moves no part, a larger one does', () => {
    const nodes = [1, 1, 1, 1].map(() => newStatistics());
    const measure = (factors: readonly number[]): void => {
      for (let i = 0; i < 12; i++)
        nodes.forEach((node, k) => {
          observeWork(node, KEY, 1e6, (1000 * (1 + 0.2 * (-1) ** (i + k))) / factors[k]!, 0.3);
        });
    };
    measure([1, 1, 1, 1]);
    expect(new Set(estimateSpeeds(nodes, KEY)).size).toBe(1);
    measure([1, 1, 1, 0.5]);
    const [first, second, , slow] = estimateSpeeds(nodes, KEY);
    expect(first).toBe(second);
    expect(slow! / first!).toBeLessThan(0.65);
  });
});

test('response times are bounded, and their 95th percentile is by nearest rank', () => {
  const node = newStatistics();
  expect(slowResponse(node, KEY)).toBeUndefined();
  for (let ms = 1; ms <= 1000; ms++) observeResponse(node, KEY, ms);
  expect(node.stages.get(KEY)!.responses).toHaveLength(RESPONSES);
  expect(slowResponse(node, KEY)).toBe(1000 - RESPONSES + Math.ceil(0.95 * RESPONSES));
});

describe('what a link costs', () => {
  const measured = (messages: readonly (readonly [bytes: number, ms: number])[]) => {
    const node = newStatistics();
    for (const [bytes, ms] of messages) observeLink(node, bytes, ms, 0.3);
    return linkOf(node);
  };

  test('without measurements it is zero', () => {
    expect(measured([])).toEqual({ messageMs: 0, msPerByte: 0 });
  });

  test('messages of different sizes separate the cost per byte from the cost per message', () => {
    const { messageMs, msPerByte } = measured([1, 4, 2, 8, 1, 4, 6, 2].map((kb) => [1000 * kb, 5 + 2 * kb] as const));
    expect(msPerByte).toBeCloseTo(0.002, 4);
    expect(messageMs).toBeCloseTo(5, 0);
  });

  test('messages of one size are costed per message, so that a node with small messages does not look slow per byte', () => {
    const { messageMs, msPerByte } = measured([8, 4, 8, 4].map((ms) => [1024, ms] as const));
    expect(msPerByte).toBe(0);
    expect(messageMs).toBeCloseTo(6, 0);
  });

  test('one slow message is forgotten after a few of normal duration', () => {
    const behind = (count: number) => measured([[1000, 1000], ...new Array(count).fill([1000, 2])]);
    expect(behind(0).messageMs).toBe(1000);
    expect(behind(12).messageMs).toBeLessThan(4);
  });

  test('neither cost is below 0, and together they explain the measurement', () => {
    const message = fc.tuple(fc.integer({ min: 1, max: 1e7 }), fc.integer({ min: -5, max: 10_000 }));
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 30 }), (messages) => {
        const node = newStatistics();
        for (const [bytes, ms] of messages) observeLink(node, bytes, ms, 0.3);
        const { messageMs, msPerByte } = linkOf(node);
        expect(messageMs).toBeGreaterThanOrEqual(0);
        expect(msPerByte).toBeGreaterThanOrEqual(0);
        const { count, bytes, ms } = node.link;
        expect(messageMs + (msPerByte * bytes) / count).toBeCloseTo(ms / count, 6);
      }),
    );
  });
});

test('the stages of a released plan are forgotten', () => {
  const node = newStatistics();
  observeWork(node, stageKey('p-1', 0), 1, 1, 1);
  observeWork(node, stageKey('p-12', 0), 1, 1, 1);
  forgetPlan(node, 'p-1');
  expect([...node.stages.keys()]).toEqual(['p-12/0']);
});
