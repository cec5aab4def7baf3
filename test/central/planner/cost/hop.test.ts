import { expect, test } from 'vitest';
import { hopMs, hopsOf } from '../../../../central/planner/cost/hop.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { bareProfile, skipProfile } from '../profile/profiles.ts';

test('a hop is the time of its links and its messages; none where nothing leads', () => {
  const hops = hopsOf(problemOfProfile(bareProfile()));
  expect(hopMs(hops('pi', 'box'), 4000)).toBe(9);
  expect(hopMs(hops('pi', 'pi'), 4000)).toBe(0);
  expect(hopMs(hops('box', 'pi'), 0)).toBe(Number.POSITIVE_INFINITY);
});

test('a part waits for the order of central, where central is at the broker', () => {
  const hops = hopsOf(problemOfProfile(skipProfile()));
  // A message to central and one back: 2 x (2 ms and 1 ms at the node).
  expect(hopMs(hops('pi', 'pi'), 0)).toBe(6);
  expect(hopMs(hops('central', 'pi'), 100)).toBeCloseTo(3.1, 9);
});
