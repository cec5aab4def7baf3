import { nodeMacs } from '../onnx/cost.ts';
import type { GraphNode, ResolvedModel } from '../onnx/model.ts';
import { tensorsReadBy } from '../onnx/order.ts';
import { isRandomOperator } from '../onnx/random-operator.ts';
import type { Stage } from '../plan/plan.ts';
import { nodesBetween } from './segment.ts';

/** Largest difference from the whole network that tiles with halo make, as a share of an output's range. */
export const DIFFERENCE_BOUND = 1e-4;
/**
 * The same where tiles compute in float16. The runtime rounds to 11 bits at the borders of its fused operators, which lie
 * elsewhere in a tile: each layer of products adds up to half a unit of the last place, 2^-11 of the range. Measured:
 * random networks of up to nine operators 6e-4, ResNet-20 8e-4, MobileNets of 27 and 52 layers 5e-3.
 */
export const HALF_BOUND = 1e-2;
/** Layers of products within tiles up to which HALF_BOUND holds: 20 times 2^-11 is 1e-2. */
export const HALF_LAYERS = 20;

/** How far results may be from those of the whole network, or why nothing can be said. */
export type DifferenceBound = { readonly largest: number } | { readonly unbounded: string };

/** Operators whose result does not depend on what the runtime fuses or in which order it sums. */
const EXACT: ReadonlySet<string> = new Set(
  `Abs Add And ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Clip Concat DepthToSpace
  DequantizeLinear Div Dropout Equal Flatten Floor Gather Greater GreaterOrEqual Identity IsInf IsNaN LeakyRelu Less
  LessOrEqual Max MaxPool Min Mod Mul Neg Not Or PRelu Pad QuantizeLinear Relu Reshape Round Shrink Sign Slice
  SpaceToDepth Split Squeeze Sub ThresholdedRelu Transpose Unsqueeze Where Xor`.split(/\s+/),
);

/** Operators that turn numbers into steps, so that a difference of nothing can become one of a step. */
const STEPPING: ReadonlySet<string> = new Set(['QuantizeLinear', 'DynamicQuantizeLinear', 'Round', 'Floor', 'Ceil']);

/** What a walk through the graph knows of a tensor. */
interface Origin {
  /** Whether tiles may make it otherwise than the whole network, if only in the last bit. */
  readonly inexact: boolean;
  /** Layers of products in float16 within tiles that lead to it. */
  readonly layers: number;
}

function isFloat(resolved: ResolvedModel, name: string | undefined): boolean {
  return resolved.specs.get(name ?? '')?.dtype.startsWith('float') ?? false;
}

/** Whether a node rounds numbers with fractions to whole ones or to codes. */
function steps(resolved: ResolvedModel, node: GraphNode): boolean {
  if (STEPPING.has(node.op)) return true;
  return node.op === 'Cast' && isFloat(resolved, node.inputs[0]) && !isFloat(resolved, node.outputs[0]);
}

/**
 * How far a plan's results may be from those of the whole network in one process, from its types and operators; for
 * stages whose tiles have halos and whose results travel without loss. Decisions (ArgMax, comparisons, TopK) between
 * values nearer to each other than that may fall otherwise, which is not counted.
 */
export function differenceBound(resolved: ResolvedModel, stages: readonly Stage[]): DifferenceBound {
  const { nodes, initializers } = resolved.model.graph;
  const tiled = new Set<number>();
  for (const { inputs, outputs, split } of stages)
    if (split.kind === 'tiles') for (const index of nodesBetween(resolved, inputs, outputs)) tiled.add(index);
  const origins = new Map<string, Origin>();
  let layers = 0;
  let halves = false;
  for (const [index, node] of nodes.entries()) {
    if (isRandomOperator(node, initializers))
      return { unbounded: `${node.op} "${node.name || node.outputs[0]}" draws random numbers, others in each run` };
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
        unbounded: `${node.op} "${node.name || node.outputs[0]}" rounds what tiles make otherwise in the last digits, a step at a time`,
      };
    halves ||= isHalf && (tiled.has(index) || stages.length > 1);
    layers = Math.max(layers, origin.layers);
    for (const output of node.outputs) origins.set(output, origin);
  }
  if (layers > HALF_LAYERS)
    return { unbounded: `tiles compute ${layers} layers in float16; up to ${HALF_LAYERS} their difference is bounded` };
  return { largest: halves ? HALF_BOUND : DIFFERENCE_BOUND };
}
