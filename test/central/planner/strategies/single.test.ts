import { expect, test } from 'vitest';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { single } from '../../../../central/planner/strategies/single.ts';
import { bareProfile } from '../profile/profiles.ts';
import { latencyOf, nodesOf, proposed } from './proposed.ts';

const problem = problemOfProfile(bareProfile());

test('is the machine on which a frame ends first, its way there counted', () => {
  const [plan] = proposed(single, problem);
  expect(nodesOf(plan!)).toEqual([['box']]);
  expect(latencyOf(problem, [plan!])).toBe(35 + 5 + 1);
  const slow = problem.links.map((link) => ({ ...link, rtt_ms: 200 }));
  expect(nodesOf(proposed(single, { ...problem, links: slow })[0]!)).toEqual([['pi']]);
});

test('is central where nothing was measured', () => {
  const nodes = problem.nodes.map(({ times: _, ...node }) => node);
  expect(nodesOf(proposed(single, { ...problem, nodes })[0]!)).toEqual([['central']]);
});

test('is not there where frames can reach none of the machines', () => {
  const constraints = { ...problem.constraints, avoid: ['device'] };
  expect(single.propose({ ...problem, links: [], constraints })).toMatchObject({ kind: 'impossible' });
});
