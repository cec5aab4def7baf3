import { describe, expect, test } from 'vitest';
import { proposeLabellings } from '../../../../central/planner/placement/propose.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { bareProfile, skipProfile } from '../profile/profiles.ts';

const problem = problemOfProfile(skipProfile());

describe('the plans of labellings', () => {
  test('are found at each grain that has other vertices than the one before, and proposed once', () => {
    const seen: number[] = [];
    const plans = proposeLabellings(problem, 'test', ['chain', 'blocks', 'layers'], ({ vertices }) => {
      seen.push(vertices.length);
      return [{ labels: vertices.map(() => 0), why: `with ${vertices.length} vertices` }];
    });
    expect(seen).toEqual([1, 2, 4]);
    expect(plans).toHaveLength(1);
    const bare: number[] = [];
    proposeLabellings(problemOfProfile(bareProfile()), 'test', ['chain', 'layers'], ({ vertices }) => {
      bare.push(vertices.length);
      return [];
    });
    expect(bare).toEqual([3]);
  });

  test('stay where another grain has none', () => {
    const refusal = { kind: 'impossible', reason: 'too many' } as const;
    const solve = (most: number) => () =>
      proposeLabellings(problem, 'test', ['chain', 'layers'], ({ vertices }) =>
        vertices.length > most ? refusal : [{ labels: vertices.map(() => 0), why: 'all' }],
      );
    expect(solve(1)()).toHaveLength(1);
    expect(solve(0)()).toBe(refusal);
  });

  test('do not need links that are missing', () => {
    const links = problem.links.filter(({ from }) => from === 'pi');
    const plans = proposeLabellings({ ...problem, links }, 'test', ['chain'], () => [
      { labels: [0], why: 'all on pi' },
    ]);
    expect(plans).toMatchObject({ kind: 'impossible', reason: expect.stringContaining('links') });
  });

  test('are left to others where the user asked for tiles and named no strategy', () => {
    const constraints = { ...problem.constraints, grid: { rows: 2, cols: 2 } };
    expect(proposeLabellings({ ...problem, constraints, isNamed: false }, 'test', ['chain'], () => [])).toMatchObject({
      kind: 'not-asked',
    });
  });
});
