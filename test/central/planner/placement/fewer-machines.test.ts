import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fewerMachines } from '../../../../central/planner/placement/fewer-machines.ts';
import { bruteForce } from '../../../support/brute-force.ts';
import { drawn, randomPlacements } from '../../../support/placements.ts';

const idsOf = ({ machines }: { machines: readonly { id: string }[] }) => machines.map(({ id }) => id);

test('of equal machines one is left; the source and the sink stay', () => {
  const vertices = [{ ms: [5, 2, 2, 1, 2], reads: [-1], bytes: 1 }];
  const way = () => 1;
  expect(idsOf(fewerMachines(drawn({ ranks: [0, 1, 1, 2, 1], vertices, way })))).toEqual(['m0', 'm1', 'm3']);
  expect(idsOf(fewerMachines(drawn({ ranks: [0, 1, 1, 2, 1], vertices, way, sink: 4 })))).toEqual(['m0', 'm3', 'm4']);
});

test('a machine stays that is faster somewhere, or nearer to another', () => {
  const vertices = [
    { ms: [9, 1, 2], reads: [-1], bytes: 1 },
    { ms: [9, 2, 1], reads: [0], bytes: 1 },
  ];
  expect(idsOf(fewerMachines(drawn({ ranks: [0, 1, 1], vertices, way: () => 1 })))).toEqual(['m0', 'm1', 'm2']);
  const equal = vertices.map((vertex) => ({ ...vertex, ms: [9, 2, 1] }));
  expect(idsOf(fewerMachines(drawn({ ranks: [0, 1, 1], vertices: equal })))).toEqual(['m0', 'm1', 'm2']);
});

test('a machine stays that is faster at several vertices as one', () => {
  const vertices = [{ ms: [9, 1, 1], reads: [-1], bytes: 1 }];
  const placement = drawn({ ranks: [0, 1, 1], vertices, way: () => 1 });
  expect(idsOf(fewerMachines({ ...placement, joint: (machine) => 3 - machine }))).toEqual(['m0', 'm2']);
});

test('the optimum stays', () => {
  const tiers = ['edge', 'edge', 'edge', 'cloud'] as const;
  fc.assert(
    fc.property(randomPlacements({ layers: 5, tiers, odd: true }), (placement) => {
      const { ms } = bruteForce(placement);
      expect(bruteForce(fewerMachines(placement)).ms).toBeCloseTo(ms, 6);
    }),
  );
});
