import type { NamedProblem } from './contract.ts';
import { parseProfile } from './profile/parse.ts';
import { problemOfProfile } from './profile/problem.ts';
import type { Profile } from './profile/schema.ts';
import type { Problem } from './strategy.ts';

/** A chain of four blocks on a device, two edge machines and one in the cloud, linked forwards. */
function chain(): Profile {
  const ids = ['camera', 'edge-1', 'edge-2', 'cloud'];
  const at = [[0, 1, 2], [3], [3], []];
  return parseProfile({
    model: 'chain',
    input_bytes: 150_000,
    source: 'camera',
    blocks: [400_000, 100_000, 20_000, 4000].map((output_bytes, index) => ({ name: `block-${index}`, output_bytes })),
    nodes: [
      { id: 'camera', tier: 'device', block_ms: [40, 60, 60, 20] },
      { id: 'edge-1', tier: 'edge', block_ms: [10, 15, 15, 5] },
      { id: 'edge-2', tier: 'edge', block_ms: [12, 14, 16, 6] },
      { id: 'cloud', tier: 'cloud', block_ms: [3, 4, 4, 1] },
    ],
    links: ids.flatMap((from, a) =>
      at[a]!.map((b) => ({ from, to: ids[b + (a === 0 ? 1 : 0)]!, rtt_ms: 10 * (b + 1), mbps: 20 })),
    ),
  });
}

/** Layers with a skip and two outputs, on two nodes and central at the broker. */
function graph(): Profile {
  const layer = (name: string, inputs: string[], bytes: number) => {
    return { name, op: 'Conv', macs: 1_000_000, inputs, outputs: [{ name: `${name}.out`, bytes }] };
  };
  const ends = ['pi-1', 'pi-2'];
  return parseProfile({
    format: 'tessera-profile/1',
    model: 'graph',
    sha256: 'c'.repeat(64),
    input_bytes: 12_000,
    source: 'central',
    sink: 'central',
    broker: 'central',
    blocks: [
      { name: 'front', output_bytes: 16_000, cut: ['a.out'], layers: [0, 0] },
      { name: 'middle', output_bytes: 24_000, cut: ['a.out', 'b.out'], layers: [1, 1] },
      { name: 'back', output_bytes: 440, cut: ['c.out', 'd.out'], layers: [2, 3] },
    ],
    layers: [
      layer('a', ['picture'], 16_000),
      layer('b', ['a.out'], 8000),
      layer('c', ['b.out', 'a.out'], 400),
      layer('d', ['b.out'], 40),
    ],
    nodes: [
      ...ends.map((id, index) => ({ id, tier: 'edge', block_ms: [10 + index, 12, 6], message_ms: 1 })),
      { id: 'central', tier: 'edge', block_ms: [20, 24, 12] },
    ],
    links: ends.flatMap((id) => [
      { from: id, to: 'central', rtt_ms: 2, mbps: 100 },
      { from: 'central', to: id, rtt_ms: 2, mbps: 80 },
    ]),
    correction: { ratio: 0.9, error: 0.05 },
  });
}

/** The profiles of these problems, in both forms. */
export function contractProfiles(): Profile[] {
  return [chain(), graph()];
}

/** The problems that `tessera plan --check-strategy` and the tests of all strategies ask. */
export function contractProblems(): NamedProblem[] {
  const chained = problemOfProfile(chain());
  const skipped = problemOfProfile(graph());
  const withConstraints = (problem: Problem, said: Partial<Problem['constraints']>): Problem => {
    return { ...problem, constraints: { ...problem.constraints, ...said } };
  };
  const alone = { ...chained, nodes: chained.nodes.slice(0, 1), links: [] };
  return [
    { name: 'a chain over three tiers', problem: chained },
    { name: 'a network with a skip and two outputs', problem: skipped },
    { name: 'one machine without links', problem: alone },
    {
      name: 'some nodes may get work',
      problem: withConstraints(chained, { nodes: ['camera', 'edge-2'], nodeCount: 2 }),
    },
    { name: 'a tier to avoid', problem: withConstraints(chained, { avoid: ['cloud'] }) },
    {
      name: 'a block that must run on two machines',
      problem: withConstraints(chained, {
        pins: [
          { block: 0, on: 'camera' },
          { block: 0, on: 'cloud' },
        ],
      }),
    },
    { name: 'several plans for throughput', problem: withConstraints(skipped, { objective: 'throughput', top: 3 }) },
    {
      name: 'nodes that were not profiled',
      problem: { ...chained, nodes: chained.nodes.map(({ times: _, ...node }) => node) },
    },
    { name: 'no nodes', problem: { ...chained, nodes: [], links: [] } },
  ];
}
