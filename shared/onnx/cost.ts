import { elementCount } from '../tensor/tensor.ts';
import { intAttribute } from './attributes.ts';
import type { GraphNode, ResolvedModel } from './model.ts';
import { tensorsReadBy } from './order.ts';

/** Operators whose multiply-adds are counted, with the index of their weight (the second factor) among the inputs. */
const WEIGHT_INPUT: Readonly<Record<string, number>> = {
  Conv: 1,
  ConvInteger: 1,
  QLinearConv: 3,
  ConvTranspose: 1,
  FusedConv: 1,
  Gemm: 1,
  FusedGemm: 1,
  QGemm: 3,
  MatMul: 1,
  MatMulInteger: 1,
  FusedMatMul: 1,
  QLinearMatMul: 3,
};

/** What multiply-adds are counted from. */
type Sizes = Pick<ResolvedModel, 'branchMacs'> & { readonly specs: Pick<ResolvedModel['specs'], 'get'> };

/** Whether a node is a convolution of any kind (transposed, quantised or fused ones too). */
export function isConv(node: GraphNode): boolean {
  return /^(QLinear|Fused)?Conv(Integer|Transpose)?$/.test(node.op);
}

/**
 * Multiply-adds of a node for the model's shapes; 0 for operators without products, and where a shape is unknown.
 * Convolution: each output element is a sum over c / group channels and the kernel. Transposed convolution: each input
 * element contributes to m / group channels and the kernel. Matrix product: output elements times the inner dimension. If:
 * its costlier branch.
 */
export function nodeMacs({ specs, branchMacs }: Sizes, node: GraphNode): number {
  const index = WEIGHT_INPUT[node.op];
  if (index === undefined) return branchMacs?.get(node.outputs[0] ?? '') ?? 0;
  const shapeOf = (name: string | undefined) => specs.get(name ?? '')?.shape;
  const data = shapeOf(node.inputs[0]);
  const weight = shapeOf(node.inputs[index]);
  const output = shapeOf(node.outputs[0]);
  if (data === undefined || weight === undefined || output === undefined) return 0;
  if (node.op === 'ConvTranspose') return elementCount(data) * elementCount(weight.slice(1));
  if (isConv(node)) return elementCount(output) * elementCount(weight.slice(1));
  const isTransposed = intAttribute(node, 'transA', 0) === 1;
  return elementCount(output) * (data.at(isTransposed ? -2 : -1) ?? 0);
}

/** Cost of a whole model. */
export interface Totals {
  readonly macs: number;
  /** Multiply-adds of convolutions alone. */
  readonly convMacs: number;
  /** Elements of the weights; int64 constants (shapes, axes) are not counted. */
  readonly params: number;
}

/** Elements of the weights that a node reads; int64 constants (shapes, axes) are not counted. */
export function nodeParams(resolved: ResolvedModel, node: GraphNode): number {
  let count = 0;
  for (const name of tensorsReadBy(node)) {
    const tensor = resolved.model.graph.initializers.get(name);
    if (tensor !== undefined && tensor.dtype !== 'int64') count += elementCount(tensor.dims);
  }
  return count;
}

/** Sums over all nodes; a weight that several nodes share counts once. */
export function modelTotals(resolved: ResolvedModel): Totals {
  let macs = 0;
  let convMacs = 0;
  for (const node of resolved.model.graph.nodes) {
    const own = nodeMacs(resolved, node);
    macs += own;
    if (isConv(node)) convMacs += own;
  }
  const weights = [...resolved.model.graph.initializers.values()].filter((tensor) => tensor.dtype !== 'int64');
  return { macs, convMacs, params: weights.reduce((sum, tensor) => sum + elementCount(tensor.dims), 0) };
}
