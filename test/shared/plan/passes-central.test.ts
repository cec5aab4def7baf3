import { expect, test } from 'vitest';
import { atCentral, sketchPlan } from '../../../bench/sim/plans.ts';
import { passesCentral } from '../../../shared/plan/passes-central.ts';

const PARTS = 8;
const neighbours = (t_id: number): number[] => [t_id - 1, t_id, t_id + 1].filter((tile) => tile >= 0 && tile < PARTS);

test('what every part reads of every other one passes central, which takes fewer messages', () => {
  const plan = sketchPlan([
    { tiles: 7, bytes_out: 3600 },
    { tiles: PARTS, bytes_in: 25_000 },
    { tiles: 1, on: atCentral },
  ]);
  expect(passesCentral(plan, 't1')).toBe(true);
});

test('where the same is large, the bytes of the way by central weigh more than messages', () => {
  const plan = sketchPlan([
    { tiles: 7, bytes_out: 1e6 },
    { tiles: PARTS, bytes_in: 7e6 },
  ]);
  expect(passesCentral(plan, 't1')).toBe(false);
});

test('halos go straight, and so does the whole output of one part', () => {
  const tiles = { tiles: PARTS, bytes_out: 100_000 };
  const halos = sketchPlan([tiles, { tiles: PARTS, needs: neighbours, bytes_in: 120_000 }]);
  expect(passesCentral(halos, 't1')).toBe(false);
  expect(passesCentral(sketchPlan([{ tiles: 1 }, { tiles: 1 }]), 't1')).toBe(false);
});
