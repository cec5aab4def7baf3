import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FlowNetwork, SINK, SOURCE } from '../../../../central/planner/placement/max-flow.ts';

type Edges = readonly (readonly [from: number, to: number, capacity: number])[];

function networkOf(vertices: number, edges: Edges): FlowNetwork {
  const flow = new FlowNetwork();
  for (let v = 2; v < vertices; v++) flow.vertex();
  for (const [from, to, capacity] of edges) flow.edge(from, to, capacity);
  return flow;
}

const capacityOf = (edges: Edges, sides: readonly boolean[]): number =>
  edges.reduce((sum, [from, to, capacity]) => (sides[from] && !sides[to] ? sum + capacity : sum), 0);

test('the cut has the capacity of the largest flow', () => {
  // The example of Cormen, Leiserson, Rivest, Stein, figure 26.6: 23.
  const edges: Edges = [
    [SOURCE, 2, 16],
    [SOURCE, 3, 13],
    [2, 4, 12],
    [3, 2, 4],
    [4, 3, 9],
    [3, 5, 14],
    [5, 4, 7],
    [4, SINK, 20],
    [5, SINK, 4],
  ];
  const sides = networkOf(6, edges).cut()!;
  expect(capacityOf(edges, sides)).toBe(23);
});

test('an infinite edge is not cut, and there is no cut where a path of them leads to the sink', () => {
  const free: Edges = [
    [SOURCE, 2, 5],
    [2, 3, Number.POSITIVE_INFINITY],
    [3, SINK, 7],
  ];
  expect(networkOf(4, free).cut()).toEqual([true, false, false, false]);
  expect(
    networkOf(4, [...free, [SOURCE, 2, Number.POSITIVE_INFINITY], [3, SINK, Number.POSITIVE_INFINITY]]).cut(),
  ).toBe(undefined);
});

test('no division of the vertices has a smaller capacity', () => {
  const vertices = 6;
  const vertex = fc.integer({ min: 0, max: vertices - 1 });
  const capacity = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(Number.POSITIVE_INFINITY));
  fc.assert(
    fc.property(fc.array(fc.tuple(vertex, vertex, capacity), { maxLength: 20 }), (edges) => {
      const divisions = Array.from({ length: 2 ** (vertices - 2) }, (_, bits) =>
        Array.from({ length: vertices }, (_, v) => v === SOURCE || (v > SINK && ((bits >> (v - 2)) & 1) === 1)),
      );
      const least = Math.min(...divisions.map((sides) => capacityOf(edges, sides)));
      const sides = networkOf(vertices, edges).cut();
      if (sides === undefined) expect(least).toBe(Number.POSITIVE_INFINITY);
      else expect(capacityOf(edges, sides)).toBe(least);
    }),
  );
});
