import { describe, expect, it } from 'vitest';
import { planningGraph } from '../../../../central/planner/graph.ts';
import { assembleProfile, type Measured, type MeasuredTime } from '../../../../central/planner/profile/assemble.ts';
import { parseProfile } from '../../../../central/planner/profile/parse.ts';
import { graphOfProfile, problemOfProfile } from '../../../../central/planner/profile/problem.ts';
import { layersMs } from '../../../../central/planner/times.ts';
import { resolveModel } from '../../../../shared/onnx/resolve.ts';
import { node, sketch } from '../../../shared/onnx/build.ts';

const graph = planningGraph(
  resolveModel(
    sketch({
      nodes: [
        node('Relu', ['x'], ['a']),
        node('Sigmoid', ['a'], ['b']),
        node('Tanh', ['b'], ['c']),
        node('Add', ['a', 'c'], ['d']),
      ],
      inputs: { x: [1, 2, 4, 4] },
      outputs: ['d'],
    }),
  ),
);
const time = (of: string, first: number, last: number, ms: number, others = 0): MeasuredTime => {
  return { node: of, blocks: [first, last], ms, p10_ms: ms - 1, p90_ms: ms + 1, repeats: 5, others };
};
const measured: Measured = {
  name: 'skip',
  model: 'a'.repeat(64),
  graph,
  center: 'central',
  nodes: ['pi-1', 'pi-2', 'central'].map((id) => ({
    id,
    tier: 'edge',
    codecs: ['raw'],
    splits: ['whole'],
    hardware: id === 'central' ? undefined : 'Pi',
  })),
  times: [
    ...[0, 1, 2, 3].map((block) => time('pi-1', block, block, 10 * (block + 1))),
    time('pi-1', 0, 1, 24),
    time('pi-1', 0, 3, 80, 3),
    ...[0, 1].map((block) => time('central', block, block, 2 * (block + 1))),
  ],
  codecs: [{ node: 'pi-1', part_ms: 0.25, codecs: [{ name: 'packed', encode_ms: 4, decode_ms: 5 }] }],
  frame: { open_ms: 3, finish_ms: 0.5 },
  links: [
    { from: 'pi-1', to: 'central', empty_ms: 10, mbps: 100, message_ms: 1 },
    { from: 'central', to: 'pi-1', empty_ms: 10, mbps: 50, message_ms: 0.5 },
  ],
  sharedFrom: new Map([['pi-2', 'pi-1']]),
};
const profile = assembleProfile(measured);
const [pi1, pi2, central] = profile.nodes;

describe('a profile of measurements', () => {
  it('is one that is read, with the very network that was measured', () => {
    expect(parseProfile(JSON.parse(JSON.stringify(profile)))).toEqual(profile);
    const made = graphOfProfile(profile);
    expect(made.layers).toEqual(graph.layers);
    expect(made.blocks).toEqual(graph.blocks);
    expect(profile).toMatchObject({ input_bytes: 128, source: 'central', sink: 'central' });
  });

  it('has the times of blocks and runs where they were measured', () => {
    expect(pi1).toMatchObject({
      block_ms: [10, 20, 30, 40],
      p10_ms: [9, 19, 29, 39],
      repeats: 5,
      runs: [
        { blocks: [0, 1], ms: 24 },
        { blocks: [0, 3], ms: 80 },
      ],
      message_ms: 1,
      busy: 3,
    });
    const [planned] = problemOfProfile(profile).nodes;
    expect(layersMs(planned!, [0, 1])).toBe(24);
    expect(layersMs(planned!, [1, 2])).toBeCloseTo(0.8 * 50);
  });

  it('gives a node the times of the one of equal hardware, and says so', () => {
    expect(pi2).toMatchObject({ block_ms: [10, 20, 30, 40], measured_on: 'pi-1' });
    expect(pi2).not.toHaveProperty('predicted');
    expect(pi2).not.toHaveProperty('message_ms');
  });

  it('predicts what a node did not measure, and says with which error', () => {
    expect(central!.block_ms.slice(0, 2)).toEqual([2, 4]);
    expect(central!.block_ms[3]).toBeGreaterThan(0);
    expect(central).toHaveProperty('predicted.error');
    expect(central).not.toHaveProperty('p10_ms');
  });

  it('charges a hop half an echo, without the messages that both machines are charged themselves', () => {
    expect(profile.links).toEqual([
      { from: 'pi-1', to: 'central', rtt_ms: 3.5, mbps: 100 },
      { from: 'central', to: 'pi-1', rtt_ms: 3.5, mbps: 50 },
    ]);
  });

  it('corrects sums of blocks by the runs of nodes that measured all of their own', () => {
    expect(profile.correction).toEqual({ ratio: 0.8, error: expect.closeTo(0) });
  });
});
