import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutVertices } from '../../../../central/planner/placement/cut-vertices.ts';
import { drawn, randomPlacements } from '../../../support/placements.ts';

const graph = (...reads: number[][]) =>
  drawn({ ranks: [0], vertices: reads.map((of) => ({ ms: [1], reads: of, bytes: 1 })) });

test('every vertex of a chain is a cut vertex, also under a skip', () => {
  expect(cutVertices(graph([-1], [0], [1]))).toEqual([0, 1, 2]);
  expect(cutVertices(graph([-1], [0], [0, 1]))).toEqual([0, 1, 2]);
});

test('parallel branches have none', () => {
  expect(cutVertices(graph([-1], [0], [0], [1, 2], [3]))).toEqual([0, 3, 4]);
  expect(cutVertices(graph([-1], [-1], [0, 1]))).toEqual([2]);
  expect(cutVertices(graph([-1], [0], [0]))).toEqual([0]);
});

test('a vertex is one if all others depend on it or it on them', () => {
  fc.assert(
    fc.property(randomPlacements({ layers: 10, tiers: ['edge'] }), ({ vertices, tensors, ...rest }) => {
      const needs = vertices.map(() => new Set<number>());
      vertices.forEach(({ inputs }, v) => {
        for (const t of inputs) {
          const { maker } = tensors[t]!;
          if (maker !== -1) for (const u of [maker, ...needs[maker]!]) needs[v]!.add(u);
        }
      });
      const expected = [...vertices.keys()].filter((v) =>
        vertices.every((_, u) => u === v || needs[u]!.has(v) || needs[v]!.has(u)),
      );
      expect(cutVertices({ vertices, tensors, ...rest })).toEqual(expected);
    }),
  );
});
