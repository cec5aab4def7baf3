import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { placementOf } from '../../../../central/planner/placement/of-problem.ts';
import { problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import type { Problem } from '../../../../central/planner/strategy.ts';
import { layersMs } from '../../../../central/planner/times.ts';
import { placed } from '../../../support/placements.ts';
import { randomProfiles } from '../../../support/random-profiles.ts';
import { bareProfile, skipProfile } from '../profile/profiles.ts';

const bare = problemOfProfile(bareProfile());
const skip = problemOfProfile(skipProfile());

describe('the placement problem', () => {
  test('of a bare profile is its chain, with times and hops as they were measured', () => {
    const placement = placed(bare, 'chain');
    expect(placement.machines).toEqual([
      { id: 'pi', rank: 0 },
      { id: 'box', rank: 1 },
      { id: 'vm', rank: 2 },
    ]);
    expect(placement.vertices[1]).toEqual({ layers: [1], ms: [80, 20, 4], inputs: [1], outputs: [2] });
    expect(placement.tensors).toEqual([
      { name: 'input', bytes: 1000, maker: -1, readers: [0], isAnswer: false },
      { name: 'a', bytes: 4000, maker: 0, readers: [1], isAnswer: false },
      { name: 'b', bytes: 500, maker: 1, readers: [2], isAnswer: false },
      { name: 'c', bytes: 10, maker: 2, readers: [], isAnswer: true },
    ]);
    expect(placement).toMatchObject({ source: 0, sink: undefined });
    expect(placement.hop(0, 1, 1000)).toBe(6);
    expect(placement.hop(1, 0, 1000)).toBe(Number.POSITIVE_INFINITY);
    expect(placement.joint).toBeUndefined();
  });

  test('has layers as vertices, blocks, or what lies between cuts with one tensor', () => {
    const layersOf = (grain: 'layers' | 'blocks' | 'chain') => placed(skip, grain).vertices.map(({ layers }) => layers);
    expect(layersOf('layers')).toEqual([[0], [1], [2], [3]]);
    expect(layersOf('blocks')).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(layersOf('chain')).toEqual([[0, 1, 2, 3]]);
  });

  test('tells for a tensor all that read it', () => {
    const { tensors } = placed(skip);
    expect(tensors.find(({ name }) => name === 'one-out')).toMatchObject({ maker: 0, readers: [1, 3] });
    expect(placed(skip, 'blocks').tensors.map(({ name }) => name)).toEqual([
      'picture',
      'one-out',
      'two-out',
      'four-out',
    ]);
  });

  test('has no nodes that may get no work; the source stays, where nothing runs', () => {
    const placement = placed({ ...bare, constraints: { ...bare.constraints, nodes: ['box'] } });
    expect(placement.machines.map(({ id }) => id)).toEqual(['box', 'pi']);
    expect(placement.vertices.map(({ ms }) => ms[1])).toEqual([1, 1, 1].map(() => Number.POSITIVE_INFINITY));
  });

  test('has no machines that the user avoids, and pins blocks to those that he names', () => {
    const { machines, vertices } = placed({
      ...bare,
      constraints: { ...bare.constraints, avoid: ['edge'], pins: [{ block: 1, on: 'cloud' }] },
    });
    expect(machines.map(({ id }) => id)).toEqual(['pi', 'vm']);
    expect(vertices.map(({ ms }) => ms)).toEqual([
      [40, 2],
      [Number.POSITIVE_INFINITY, 4],
      [20, 1],
    ]);
  });

  test('does not exist where nothing was measured, or no machine or no layer is left', () => {
    expect(placementOf({ ...bare, graph: { ...bare.graph, outputs: ['weight'] } }, 'layers')).toMatchObject({
      kind: 'impossible',
    });
    const nodes = bare.nodes.map(({ times: _, ...node }) => node);
    expect(placementOf({ ...bare, nodes }, 'layers')).toMatchObject({
      kind: 'not-asked',
      reason: 'there are no measured times of pi, box, vm',
      hint: expect.stringContaining('tessera profile'),
    });
    const avoid = ['device', 'edge', 'cloud'];
    expect(placementOf({ ...bare, constraints: { ...bare.constraints, avoid } }, 'layers')).toMatchObject({
      kind: 'impossible',
    });
  });
});

describe('layers', () => {
  const layer = (name: string, inputs: string[]) => ({ name, op: 'X', inputs, outputs: [name], macs: 1 });
  const times = { layer_ms: [1, 2, 4, 8, 16], runs: [], ratio: 1, error: null };
  const graph = {
    layers: [layer('a', ['x']), layer('k', []), layer('b', ['a']), layer('c', ['a', 'k']), layer('d', ['b', 'c'])],
    tensors: ['x', 'a', 'k', 'b', 'c', 'd'].map((name) => ({ name, bytes: 4 })),
    inputs: ['x'],
    outputs: ['d'],
    blocks: [{ name: 'all', first: 0, last: 4, cut: ['d'], bytes: 4 }],
  };
  const problem: Problem = {
    ...bare,
    graph,
    nodes: bare.nodes.map((node) => ({ ...node, times })),
  };

  test('that do not depend on the frame are no vertices, and their tensors are not sent', () => {
    const { vertices, tensors } = placed(problem);
    expect(vertices.map(({ layers }) => layers)).toEqual([[0], [2], [3], [4]]);
    expect(tensors.map(({ name }) => name)).toEqual(['x', 'a', 'b', 'c', 'd']);
  });

  test('that make an output of the network are vertices even then', () => {
    const { vertices, tensors } = placed({ ...problem, graph: { ...graph, outputs: ['k', 'd'] } });
    expect(vertices.map(({ layers }) => layers)).toEqual([[0], [1], [2], [3], [4]]);
    expect(tensors.find(({ name }) => name === 'k')).toMatchObject({ maker: 1, readers: [], isAnswer: true });
  });

  test('that nobody needs are no vertices', () => {
    const { vertices, tensors } = placed({ ...problem, graph: { ...graph, outputs: ['b'] } });
    expect(vertices.map(({ layers }) => layers)).toEqual([[0], [2]]);
    expect(tensors.find(({ name }) => name === 'a')!.readers).toEqual([1]);
  });

  test('from the maker of a tensor of unknown size to its last reader are one vertex', () => {
    const tensors = graph.tensors.filter(({ name }) => name !== 'a');
    const placement = placed({ ...problem, graph: { ...graph, tensors } });
    expect(placement.vertices.map(({ layers }) => layers)).toEqual([[0, 1, 2, 3], [4]]);
    expect(placement.vertices[0]!.ms[0]).toBe(15);
  });
});

test('the time of several blocks as one stage is that of the cost model', () => {
  const profiles = randomProfiles({ layers: 6, tiers: ['device', 'cloud'], chain: true, together: true });
  fc.assert(
    fc.property(profiles, (profile) => {
      const problem = problemOfProfile(profile);
      const { joint, vertices, machines } = placed(problem, 'chain');
      for (const m of machines.keys())
        for (const first of vertices.keys())
          for (let last = first; last < vertices.length; last++) {
            const layers = vertices.slice(first, last + 1).flatMap((vertex) => vertex.layers);
            expect(joint!(m, first, last)).toBeCloseTo(layersMs(problem.nodes[m]!, layers), 9);
          }
    }),
    { numRuns: 30 },
  );
});
