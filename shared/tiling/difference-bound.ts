import { nodeMacs } from '../onnx/cost.ts';
import { dagOf } from '../onnx/dag.ts';
import type { GraphNode, ResolvedModel } from '../onnx/model.ts';
import { tensorsReadBy } from '../onnx/order.ts';
import { isRandomOperator } from '../onnx/random-operator.ts';
import type { Stage } from '../plan/plan.ts';

/** Largest difference between halo tiles and the whole network, as a share of an output's range. */
export const DIFFERENCE_BOUND = 1e-4;
/**
 * The same bound where tiles compute in float16. The runtime rounds to 11 bits at the borders of its fused operators,
 * and these borders differ in a tile. Each layer of products adds up to half a unit in the last place, 2^-11 of the
 * range. Measured: random networks of up to nine operators 6e-4, ResNet-20 8e-4, MobileNets of 27 and 52 layers 5e-3.
 */
export const HALF_BOUND = 1e-2;
/** Most layers of products within tiles for which HALF_BOUND holds: 20 times 2^-11 is 1e-2. */
export const HALF_LAYERS = 20;

/** Bound on the difference from the whole network, or the reason why none can be given. */
export type DifferenceBound = { readonly largest: number } | { readonly unbounded: string };

/** Operators whose result does not depend on fusion or on the order of summation. */
const EXACT: ReadonlySet<string> = new Set(
  `Abs Add And ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Clip Concat DepthToSpace
  DequantizeLinear Div Dropout Equal Flatten Floor Gather Greater GreaterOrEqual Identity IsInf IsNaN LeakyRelu Less
  LessOrEqual Max MaxPool Min Mod Mul Neg Not Or PRelu Pad QuantizeLinear Relu Reshape Round Shrink Sign Slice
  SpaceToDepth Split Squeeze Sub ThresholdedRelu Transpose Unsqueeze Where Xor`.split(/\s+/),
);

/** Operators that round to steps: a difference in the last bit can become a difference of one step. */
const STEPPING: ReadonlySet<string> = new Set(['QuantizeLinear', 'DynamicQuantizeLinear', 'Round', 'Floor', 'Ceil']);

/** State of a tensor while the graph is followed. */
interface Origin {
  /** Whether the tensor may differ between tiles and the whole network, if only in the last bit. */
  readonly inexact: boolean;
  /** Layers of float16 products within tiles that lead to this tensor. */
  readonly layers: number;
}

function isFloat(resolved: ResolvedModel, name: string | undefined): boolean {
  return resolved.specs.get(name ?? '')?.dtype.startsWith('float') ?? false;
}

/** Whether a node rounds floats to integers or to codes. */
function steps(resolved: ResolvedModel, node: GraphNode): boolean {
  if (STEPPING.has(node.op)) return true;
  return node.op === 'Cast' && isFloat(resolved, node.inputs[0]) && !isFloat(resolved, node.outputs[0]);
}

/**
 * Bound on the difference between a plan's results and those of the whole network in one process. It follows from the
 * operators and their types, for stages whose tiles have halos and whose results are sent losslessly. Decisions (ArgMax,
 * comparisons, TopK) between values that are nearer to each other than the bound may differ; that is not counted.
 */
export function differenceBound(resolved: ResolvedModel, stages: readonly Stage[]): DifferenceBound {
  const { nodes, initializers } = resolved.model.graph;
  const tiled = new Set<number>();
  for (const { inputs, outputs, split } of stages)
    if (split.kind !== 'whole') for (const index of dagOf(resolved).between(inputs, outputs)) tiled.add(index);
  const origins = new Map<string, Origin>();
  let layers = 0;
  let halves = false;
  for (const [index, node] of nodes.entries()) {
    if (isRandomOperator(node, initializers))
      return {
        unbounded: `${node.op} "${node.name || node.outputs[0]}" draws random numbers, so results differ from run to run`,
      };
    const read = tensorsReadBy(node).flatMap((name) => origins.get(name) ?? []);
    const isHalf = resolved.specs.get(node.outputs[0] ?? '')?.dtype === 'float16';
    const multiplies = isHalf && tiled.has(index) && nodeMacs(resolved, node) > 0;
    const origin = {
      inexact:
        read.some(({ inexact }) => inexact) ||
        (tiled.has(index) && !EXACT.has(node.op) && isFloat(resolved, node.outputs[0])),
      layers: read.reduce((most, each) => Math.max(most, each.layers), 0) + (multiplies ? 1 : 0),
    };
    if (read.some(({ inexact }) => inexact) && steps(resolved, node))
      return {
        unbounded: `${node.op} "${node.name || node.outputs[0]}" rounds values that differ in their last digits between tiles and the whole network`,
      };
    halves ||= isHalf && (tiled.has(index) || stages.length > 1);
    layers = Math.max(layers, origin.layers);
    for (const output of node.outputs) origins.set(output, origin);
  }
  if (layers > HALF_LAYERS)
    return {
      unbounded: `tiles compute ${layers} layers in float16; their difference is bounded for at most ${HALF_LAYERS}`,
    };
  return { largest: halves ? HALF_BOUND : DIFFERENCE_BOUND };
}
