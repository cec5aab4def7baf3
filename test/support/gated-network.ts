import { ZOO } from '../../bench/zoo/networks.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { CENTRAL, type Placement, type Plan, type Split, type Stage } from '../../shared/plan/plan.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { longestPrefix } from '../../shared/tiling/prefix.ts';
import { noise } from '../shared/tiling/network.ts';

/** The gated network of the zoo, narrow. */
export const GATED_NETWORK = resolveModel(ZOO.get('gated')!.build({ width: 1 / 8 }));

const made = (op: string): string[] =>
  GATED_NETWORK.model.graph.nodes.filter((node) => node.op === op).map(({ outputs }) => outputs[0]!);

/** The map at which its tiles end, and which its gates read. */
export const GATED_MAP = longestPrefix(GATED_NETWORK, ['input'], { rows: 2, cols: 2 }).outputs[0]!;
/** What each route reads: the map, or zeros where the route is closed. */
export const ROUTE_INPUTS: readonly string[] = made('Mul');
const IS_OPEN = made('Equal');
const ANSWERS = made('If');
/** Its output. */
export const GATED_RESULT = made('Sum')[0]!;

/** Frames of one colour each, with noise: each of them chooses another route. */
export const GATED_FRAMES: readonly Tensor[] = [0b000, 0b010, 0b100].map((colour) => {
  const cells = 128 * 128;
  const values = noise(3 * cells, 7919).map((v, i) => 0.3 * v + ((colour >> Math.floor(i / cells)) & 1 ? 1 : -1));
  return { dtype: 'float32', shape: [1, 3, 128, 128], data: new Uint8Array(Float32Array.from(values).buffer) };
});

/** Tiles up to the gates, the gates, each route as a whole stage at a node of its own, and their sum. */
export function gatedPlan(model: string, nodes: { readonly gates: string; readonly routes: readonly string[] }): Plan {
  const tiles: Split = { kind: 'tiles', padding: 'halo', rows: [20, 12], cols: [16, 16] };
  const at = (node: string): Placement => ({ mode: 'share', nodes: [node] });
  const everywhere: Placement = { mode: 'share', nodes: '*' };
  const whole: Split = { kind: 'whole' };
  const packed = Object.fromEntries(ROUTE_INPUTS.map((name) => [name, { name: 'packed' as const }]));
  const stages: Omit<Stage, 'id' | 'fallback'>[] = [
    { inputs: ['input'], outputs: [GATED_MAP], split: tiles, on: everywhere, codec: {} },
    { inputs: [GATED_MAP], outputs: [...IS_OPEN, ...ROUTE_INPUTS], split: whole, on: at(nodes.gates), codec: packed },
    ...ANSWERS.map((answer, i) => ({
      inputs: [IS_OPEN[i]!, ROUTE_INPUTS[i]!],
      outputs: [answer],
      split: whole,
      on: at(nodes.routes[i]!),
      codec: {},
    })),
    { inputs: ANSWERS, outputs: [GATED_RESULT], split: whole, on: at(CENTRAL), codec: {} },
  ];
  return {
    format: 'tessera-plan/1',
    id: 'p-0000a7ed',
    model,
    source: CENTRAL,
    strategy: 'test',
    reason: 'tiles, gates, routes',
    predicted: null,
    stages: stages.map((stage, id) => ({ ...stage, id, fallback: 'central' })),
  };
}
