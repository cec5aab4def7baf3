import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../central/planner/profile/problem.ts';
import { layersMs, layersTime } from '../../../central/planner/times.ts';
import { bareProfile, skipProfile } from './profile/profiles.ts';

const [pi] = problemOfProfile(skipProfile()).nodes;

test('layers that were run as one take the time that was measured', () => {
  expect(layersMs(pi!, [0, 1, 2, 3])).toBe(10);
  expect(layersMs(pi!, [0, 1])).toBe(8);
  expect(layersTime(pi!, [0, 1]).variance).toBeCloseTo(1);
});

test('other layers take the sum of their times, corrected for what runtimes fuse', () => {
  expect(layersMs(pi!, [1, 2, 3])).toBeCloseTo(0.9 * 6);
  expect(layersMs(pi!, [0, 2])).toBeCloseTo(0.9 * 8);
  expect(layersTime(pi!, [0, 2]).variance).toBeCloseTo(0.81 * 0.75);
  expect(layersMs(pi!, [])).toBe(0);
});

test('without a correction the sum is the time', () => {
  expect(layersMs(problemOfProfile(bareProfile()).nodes[0]!, [0, 1, 2])).toBe(140);
});

test('a node without measurements is a mistake of the caller', () => {
  expect(() => layersMs({ id: 'new' }, [0])).toThrow('node new was not profiled');
});
