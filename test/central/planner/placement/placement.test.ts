import { describe, expect, test } from 'vitest';
import { busyMs, costOf, runTimes, transfersOf } from '../../../../central/planner/placement/placement.ts';
import { drawn } from '../../../support/placements.ts';

/** A vertex whose tensor two others read, and an output of each of them. */
const vertices = [
  { ms: [10, 1], reads: [-1], bytes: 4 },
  { ms: [20, 2], reads: [0], bytes: 7 },
  { ms: [30, 3], reads: [0], bytes: 9 },
];
const fork = drawn({ ranks: [0, 1], vertices });

describe('the cost of a labelling', () => {
  test('on the source alone is the sum of its times', () => {
    expect(costOf(fork, [0, 0, 0])).toBe(60);
  });

  test('counts the frame, and a tensor once for all its readers on a machine', () => {
    expect(costOf(fork, [1, 1, 1])).toBe(1 + 2 + 3 + 1);
    expect(costOf(fork, [0, 1, 1])).toBe(10 + 2 + 3 + 4);
    expect(transfersOf(fork, [0, 1, 1])).toBe(4);
  });

  test('counts the way of the outputs to the machine that needs them', () => {
    expect(transfersOf(drawn({ ranks: [0, 1], vertices, sink: 0 }), [0, 1, 1])).toBe(4 + 7 + 9);
    expect(transfersOf(drawn({ ranks: [0, 1], vertices, sink: 1 }), [0, 1, 0])).toBe(4 + 9);
  });

  test('counts consecutive vertices of one machine as one stage where that takes another time', () => {
    const joint = (_: number, first: number, last: number): number => 100 + last - first;
    expect(costOf({ ...fork, joint }, [0, 0, 0])).toBe(102);
    expect(costOf({ ...fork, joint }, [0, 1, 1])).toBe(100 + 101 + 4);
  });
});

test('how long a machine is busy', () => {
  expect(busyMs(fork, [0, 1, 0], 0)).toBe(40);
  expect(busyMs(fork, [0, 1, 0], 1)).toBe(2);
});

test('times of runs are sums unless they were measured; a machine that cannot run one vertex cannot run the run', () => {
  const partly = drawn({
    ranks: [0],
    vertices: [1, Number.POSITIVE_INFINITY, 4].map((ms, v) => ({ ms: [ms], reads: [v - 1], bytes: 1 })),
  });
  expect(runTimes(fork)(1, 1, 2)).toBe(5);
  expect(runTimes(partly)(0, 0, 0)).toBe(1);
  expect(runTimes(partly)(0, 2, 2)).toBe(4);
  expect(runTimes(partly)(0, 0, 2)).toBe(Number.POSITIVE_INFINITY);
  const joint = () => 7;
  expect(runTimes({ ...fork, joint })(1, 1, 2)).toBe(7);
  expect(runTimes({ ...partly, joint })(0, 0, 2)).toBe(Number.POSITIVE_INFINITY);
  expect(costOf({ ...partly, joint }, [0, 0, 0])).toBe(Number.POSITIVE_INFINITY);
});
