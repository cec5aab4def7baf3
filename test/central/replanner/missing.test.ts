import { expect, test } from 'vitest';
import { missingFrom } from '../../../central/replanner/missing.ts';
import { CENTRAL, type Placement, type Plan } from '../../../shared/plan/plan.ts';

/** Lost if this fails: frames go on at stand-ins while a better plan would be there, or plans change without need. */

const plan = (...on: Placement[]): Plan => ({ stages: on.map((placement) => ({ on: placement })) }) as unknown as Plan;
const present = new Set(['a', 'b']);

test('a plan misses nodes to which parts are pinned, and all nodes of a stage when none of them is there', () => {
  expect(missingFrom(plan({ mode: 'share', nodes: ['a', 'c'], parts: ['a', 'c', 'c'] }), present)).toEqual(['c']);
  expect(missingFrom(plan({ mode: 'share', nodes: ['c', 'd'] }), present)).toEqual(['c', 'd']);
});

test('it misses none where others share the work, where any node may have it, and where central has', () => {
  const shared = plan({ mode: 'share', nodes: ['a', 'c'] }, { mode: 'replicate', nodes: '*' });
  expect(missingFrom(shared, present)).toEqual([]);
  expect(missingFrom(plan({ mode: 'share', nodes: [CENTRAL] }, { mode: 'share', tier: 'cloud' }), present)).toEqual([]);
});
