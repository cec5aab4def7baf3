import type { Block, Layer, PlanningGraph } from '../graph.ts';
import type { Constraints, NoPlan, PlanningNode, Problem, Tiler } from '../strategy.ts';
import type { MeasuredRun, NodeTimes } from '../times.ts';
import type { Profile, ProfiledNode } from './schema.ts';

/** SHA-256 of no skeleton: `model` of plans that come of a profile in the bare form, which no network can run. */
export const NO_MODEL = '0'.repeat(64);

/** The network of a profile, where its ONNX model is at hand. */
export type Network = Pick<Problem, 'graph' | 'tiler'>;

/** The problem of a profile: its nodes with their times, and its links. Without `network` tiles are not possible. */
export function problemOfProfile(profile: Profile, network?: Network, said: Partial<Constraints> = {}): Problem {
  const { sha256, nodes, links, source, sink, broker, picture, frame } = profile;
  const graph = network?.graph ?? graphOfProfile(profile);
  return {
    model: sha256 ?? NO_MODEL,
    graph,
    nodes: nodes.map((node) => planningNode(profile, graph, node)),
    links,
    broker: broker ?? null,
    source,
    ...(picture === undefined ? {} : { picture: pictureOf(picture) }),
    ...(frame === undefined ? {} : { frame }),
    sink: sink ?? null,
    trained: [],
    calibrated: [],
    exits: [],
    constraints: { nodes: '*', nodeCount: nodes.length, ...said },
    isNamed: true,
    tiler: network?.tiler ?? NO_TILES,
  };
}

function pictureOf({ bytes, quality }: NonNullable<Profile['picture']>): NonNullable<Problem['picture']> {
  return { bytes, ...(quality === undefined ? {} : { quality }) };
}

/** The network of a profile; in the bare form its blocks are a chain of layers. */
export function graphOfProfile({ blocks, layers, input_bytes }: Profile): PlanningGraph {
  if (layers === undefined) {
    const names = blocks.map(({ name }) => name);
    return {
      layers: names.map((name, index): Layer => {
        return { name, op: 'block', inputs: [names[index - 1] ?? 'input'], outputs: [name], macs: 0 };
      }),
      tensors: [
        { name: 'input', bytes: input_bytes },
        ...blocks.map(({ name, output_bytes }) => ({ name, bytes: output_bytes })),
      ],
      inputs: ['input'],
      outputs: names.slice(-1),
      blocks: blocks.map(({ name, output_bytes }, index): Block => {
        return { name, first: index, last: index, cut: [name], bytes: output_bytes };
      }),
    };
  }
  const made = layers.flatMap(({ outputs }) => outputs);
  const known = new Set(made.map(({ name }) => name));
  const inputs = [...new Set(layers.flatMap((layer) => layer.inputs))].filter((name) => !known.has(name));
  return {
    layers: layers.map((layer) => ({ ...layer, outputs: layer.outputs.map(({ name }) => name) })),
    tensors: [...inputs.map((name) => ({ name, bytes: input_bytes / inputs.length })), ...made],
    inputs,
    outputs: blocks.at(-1)!.cut!,
    blocks: blocks.map(({ name, output_bytes, cut, layers: range }): Block => {
      return { name, first: range![0], last: range![1], cut: cut!, bytes: output_bytes };
    }),
  };
}

function planningNode(profile: Profile, graph: PlanningGraph, node: ProfiledNode): PlanningNode {
  const {
    id,
    tier,
    memory_mb = null,
    codecs = ['raw'],
    splits = ['whole'],
    message_ms,
    part_ms,
    codec_ms,
    power_w,
  } = node;
  const times = timesOf(profile, graph, node);
  return {
    id,
    tier,
    memory_mb,
    codecs,
    splits,
    times,
    ...(message_ms === undefined ? {} : { message_ms }),
    ...(part_ms === undefined ? {} : { part_ms }),
    ...(codec_ms === undefined ? {} : { codec_ms }),
    ...(power_w === undefined ? {} : { power_w }),
  };
}

function timesOf({ correction, ...profile }: Profile, { layers }: PlanningGraph, node: ProfiledNode): NodeTimes {
  const { block_ms, p10_ms, p90_ms, layer_ms, runs = [], predicted } = node;
  const runOf = (first: number, last: number, ms: number, p10?: number, p90?: number): MeasuredRun => {
    const variance = p10 === undefined || p90 === undefined ? undefined : varianceOf(p10, p90);
    return { first, last, ms, ...(variance === undefined ? {} : { variance }) };
  };
  const ranges = profile.blocks.map(({ layers: range }, index) => range ?? ([index, index] as const));
  const alone = ranges.map(([first, last], index) =>
    runOf(first, last, block_ms[index]!, p10_ms?.[index], p90_ms?.[index]),
  );
  const together = runs.map(({ blocks: [first, last], ms, p10_ms, p90_ms }) =>
    runOf(ranges[first]![0], ranges[last]![1], ms, p10_ms, p90_ms),
  );
  const weights = layers.map(({ macs }) => macs);
  const hasSpread = p10_ms !== undefined && p90_ms !== undefined;
  return {
    layer_ms: layer_ms ?? spread(weights, alone, ({ ms }) => ms),
    ...(hasSpread ? { layer_variance: spread(weights, alone, ({ variance }) => variance ?? 0) } : {}),
    runs: [...together, ...alone],
    ratio: correction?.ratio ?? 1,
    error: predicted?.error ?? correction?.error ?? null,
  };
}

/** Variance of a normal distribution with these 10th and 90th percentiles. */
function varianceOf(p10: number, p90: number): number {
  return ((p90 - p10) / (2 * 1.281_551_565_545)) ** 2;
}

/** Divides a value of each run among its layers, in proportion to their weights; evenly where all weights are 0. */
function spread(
  weights: readonly number[],
  runs: readonly MeasuredRun[],
  value: (run: MeasuredRun) => number,
): number[] {
  return runs.flatMap((run) => {
    const own = weights.slice(run.first, run.last + 1);
    const sum = own.reduce((all, weight) => all + weight, 0);
    return own.map((weight) => value(run) * (sum === 0 ? 1 / own.length : weight / sum));
  });
}

const REFUSAL: NoPlan = {
  kind: 'impossible',
  reason: 'tiles need the network itself',
  hint: 'give --model too',
};

/** The tiler of a network that is not at hand. */
const NO_TILES: Tiler = {
  reach: () => [],
  upTo: () => REFUSAL,
  parts: () => [],
  channels: () => REFUSAL,
  slices: () => [],
  between: () => ({
    cells: () => undefined,
    made: () => [],
    needs: () => [],
    tileMacs: () => [],
  }),
  outline: () => REFUSAL,
  obstacle: () => `${REFUSAL.reason}; ${REFUSAL.hint}`,
};
