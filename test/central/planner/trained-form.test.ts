import { describe, expect, it } from 'vitest';
import { isApproximate, isRetrained } from '../../../central/planner/trained-form.ts';
import { type ModelCard, parseCard } from '../../../shared/model/card.ts';
import type { CompiledPlan } from '../../../shared/plan/compiled-plan.ts';
import type { Split, Stage } from '../../../shared/plan/plan.ts';

/** Which plans give the predictions for which a network was retrained: an accuracy is promised for no other. */

const card = (...tiles: object[]): ModelCard => parseCard({ name: 'm', task: 'classify', tiles }, 'model.yaml');
const trained = card({ after: 'p', grid: [2, 4], padding: 'zero', clip: [0.5, 8], bits: 4 });
const clip = { name: 'clip', a: 0.5, b: 8, bits: 4 } as const;
const alone = (rows: number[], cols: number[]): Split => ({ kind: 'tiles', padding: 'zero', rows, cols });

function compiled(
  stages: readonly Pick<Stage, 'outputs' | 'split' | 'codec'>[],
  { approximate = true, bound = { largest: 1e-4 } }: Partial<Pick<CompiledPlan, 'approximate' | 'bound'>> = {},
): CompiledPlan {
  return { plan: { stages }, approximate, bound } as unknown as CompiledPlan;
}

const tiles = (split: Split, codec: Stage['codec'] = { p: clip }) => ({ outputs: ['p'], split, codec });
const rest = { outputs: ['y'], split: { kind: 'whole' }, codec: {} } as const;

describe('a retrained network', () => {
  it('gives what was trained with its own grid and codec, whoever computes the rest', () => {
    const sliced = { outputs: ['h'], split: { kind: 'channels', sizes: [64, 64] }, codec: {} } as const;
    const own = tiles(alone([4, 4], [2, 2, 2, 2]));
    expect(isApproximate(compiled([own, rest]), trained)).toBe(false);
    expect(isApproximate(compiled([own, sliced, rest]), trained)).toBe(false);
  });

  it.each([
    ['whole', [rest]],
    ['with halos', [tiles({ ...alone([4, 4], [2, 2, 2, 2]), padding: 'halo' } as Split), rest]],
    ['in another grid', [tiles(alone([2, 2, 2, 2], [4, 4])), rest]],
    ['in unequal tiles', [tiles(alone([3, 5], [2, 2, 2, 2])), rest]],
    ['with raw results', [tiles(alone([4, 4], [2, 2, 2, 2]), {}), rest]],
    ['with other bounds', [tiles(alone([4, 4], [2, 2, 2, 2]), { p: { ...clip, b: 7 } }), rest]],
    ['cut elsewhere', [{ ...tiles(alone([4, 4], [2, 2, 2, 2]), { q: clip }), outputs: ['q'] }, rest]],
    ['with further results clipped', [tiles(alone([4, 4], [2, 2, 2, 2])), { ...rest, codec: { y: { name: 'fp16' } } }]],
  ] as const)('is approximate %s', (_, stages) => {
    expect(isApproximate(compiled(stages, { approximate: false }), trained)).toBe(true);
  });

  it('is approximate where no bound on the difference is known', () => {
    const own = [tiles(alone([4, 4], [2, 2, 2, 2])), rest];
    expect(isApproximate(compiled(own, { bound: { unbounded: 'it draws' } }), trained)).toBe(true);
  });
});

describe('a network that was not retrained', () => {
  it('is compared with the whole network', () => {
    for (const own of [card(), card({ after: 'p', grid: [2, 4], padding: 'halo' })]) {
      expect(isRetrained(own)).toBe(false);
      for (const approximate of [true, false])
        expect(isApproximate(compiled([rest], { approximate }), own)).toBe(approximate);
    }
  });
});
