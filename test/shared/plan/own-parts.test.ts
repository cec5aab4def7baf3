import { expect, it } from 'vitest';
import { keepsPart } from '../../../shared/plan/own-parts.ts';
import type { Stage } from '../../../shared/plan/plan.ts';

const STAGE: Stage = {
  id: 0,
  inputs: ['x'],
  outputs: ['y'],
  split: { kind: 'channels', sizes: [4, 4] },
  on: { mode: 'share', nodes: ['a', 'b'], parts: ['a', 'b'] },
  fallback: 'central',
  codec: {},
};

const kept = (stage: Stage, node: string): number[] => [0, 1].filter((tId) => keepsPart(stage, tId, node));

it('of pinned slices a node keeps its own, and central, which stands in for all of them, keeps all', () => {
  expect(['a', 'b', 'c', 'central'].map((node) => kept(STAGE, node))).toEqual([[0], [1], [], [0, 1]]);
});

it('a node that may stand in for others keeps their slices too', () => {
  expect(kept({ ...STAGE, fallback: 'nodes' }, 'a')).toEqual([0, 1]);
  const named = { ...STAGE, fallback: ['c'] };
  expect([kept(named, 'a'), kept(named, 'c')]).toEqual([[0], [0, 1]]);
});

it('where nothing is pinned, and of tiles, which share their weights, every node keeps all', () => {
  const { parts: _, ...on } = STAGE.on;
  expect(kept({ ...STAGE, on }, 'a')).toEqual([0, 1]);
  const split = { kind: 'tiles', padding: 'halo', rows: [1, 1], cols: [1] } as const;
  expect(kept({ ...STAGE, split }, 'a')).toEqual([0, 1]);
});
