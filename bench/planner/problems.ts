import { parseProfile } from '../../central/planner/profile/parse.ts';
import { problemOfProfile } from '../../central/planner/profile/problem.ts';
import type { Profile } from '../../central/planner/profile/schema.ts';
import type { Problem } from '../../central/planner/strategy.ts';
import { planningNetwork } from '../../central/planner/tiler.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { createRandom } from '../../shared/random.ts';
import { ZOO } from '../zoo/networks.ts';

/** Layers of one module: four branches of one to three layers with small maps, and the layer that joins them. */
const BRANCHES = [1, 2, 3, 3] as const;

/**
 * A profile of a network of modules with branches, on a camera's machine and one in the cloud. The best cut goes through
 * the branches of a module.
 */
export function branchedProfile(layers: number, seed: number): Profile {
  const random = createRandom(seed);
  const graph: {
    name: string;
    op: string;
    macs: number;
    inputs: string[];
    outputs: { name: string; bytes: number }[];
  }[] = [];
  const blocks: { name: string; output_bytes: number; cut: string[]; layers: [number, number] }[] = [];
  const add = (inputs: string[], bytes: number): string => {
    const name = `layer-${graph.length}`;
    graph.push({ name, op: 'Conv', macs: random.whole(1e6, 4e7), inputs, outputs: [{ name, bytes }] });
    return name;
  };
  let before = 'input';
  while (graph.length < layers) {
    const first = graph.length;
    // Maps become smaller with the depth, as in networks that classify.
    const bytes = Math.round(800_000 * 0.94 ** blocks.length * random.between(0.5, 1.5));
    const ends = BRANCHES.map((length) => {
      let end = before;
      for (let step = 0; step < length; step++) end = add([end], Math.round(bytes / 16));
      return end;
    });
    before = add(ends, bytes);
    blocks.push({ name: before, output_bytes: bytes, cut: [before], layers: [first, graph.length - 1] });
  }
  const timesOf = (macsPerMs: number): { block_ms: number[]; layer_ms: number[] } => {
    const layer_ms = graph.map(({ macs }) => macs / macsPerMs);
    const block_ms = blocks.map(({ layers: [first, last] }) =>
      layer_ms.slice(first, last + 1).reduce((sum, ms) => sum + ms, 0),
    );
    return { block_ms, layer_ms };
  };
  return parseProfile({
    format: 'tessera-profile/1',
    model: 'branched',
    sha256: '0'.repeat(64),
    input_bytes: 1_000_000,
    source: 'camera',
    blocks,
    layers: graph,
    nodes: [
      { id: 'camera', tier: 'device', ...timesOf(2e7) },
      { id: 'cloud', tier: 'cloud', ...timesOf(1e8) },
    ],
    links: [{ from: 'camera', to: 'cloud', rtt_ms: 20, mbps: 8 }],
  });
}

/** ResNet-152 on 16 edge machines of three speeds, with central at the broker. */
export function deepProblem(): Problem {
  const network = planningNetwork(resolveModel(ZOO.get('resnet-152')!.build({ width: 0.25 })));
  const { layers, blocks } = network.graph;
  const ids = Array.from({ length: 16 }, (_, index) => `pi-${index + 1}`);
  const nodeOf = (id: string, macsPerMs: number) => {
    const layer_ms = layers.map(({ macs }) => 0.01 + macs / macsPerMs);
    const runs = blocks.map(({ first, last }) => {
      return { first, last, ms: layer_ms.slice(first, last + 1).reduce((sum, ms) => sum + ms, 0) };
    });
    return {
      id,
      tier: 'edge' as const,
      memory_mb: 1000,
      codecs: ['raw', 'packed'],
      splits: ['whole', 'tiles', 'channels'],
      times: { layer_ms, runs, ratio: 1, error: null },
      message_ms: 0.2,
    };
  };
  return {
    model: '0'.repeat(64),
    ...network,
    nodes: [...ids.map((id, index) => nodeOf(id, 1e5 * (1 + (index % 3)))), nodeOf('central', 2e5)],
    links: ids.flatMap((id) => [
      { from: id, to: 'central', rtt_ms: 1, mbps: 100 },
      { from: 'central', to: id, rtt_ms: 1, mbps: 100 },
    ]),
    broker: 'central',
    source: 'central',
    sink: 'central',
    trained: [],
    calibrated: [],
    exits: [],
    constraints: { nodes: '*', nodeCount: 16 },
    isNamed: true,
  };
}

/** The problem of a profile, with the best five plans wanted. */
export function problemOfFive(profile: Profile): Problem {
  return problemOfProfile(profile, undefined, { top: 5 });
}
