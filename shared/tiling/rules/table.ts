import type { Dtype } from '../../tensor/tensor.ts';
import { canPad } from '../padded-types.ts';
import { NEWEST_OPSET, unknownAttribute } from './attributes.ts';
import { concat, gather, matMul, split, squeeze, transpose, unsqueeze } from './channels.ts';
import {
  alongAxis,
  batchNormalization,
  broadcast,
  dropout,
  perChannel,
  quantize,
  reduce,
  softmax,
  trailingNorm,
  unary,
} from './elementwise.ts';
import { convTranspose, depthToSpace, resize } from './enlarging.ts';
import { reshape } from './reshaping.ts';
import { type NodeRule, type NodeView, type Obstacle, obstacle, type RuleOf } from './rule.ts';
import { pad, slice, spaceToDepth } from './slicing.ts';
import { averagePool, conv, lpPool, maxPool, quantizedConv } from './windows.ts';

function each(rule: RuleOf, names: string): [string, RuleOf][] {
  return names.split(/\s+/).map((name) => [name, rule]);
}

/**
 * Every operator of ONNX' default domain that can be tiled. To add one, write its rule, register it here, and list the
 * attributes that the rule supports in attributes.ts.
 */
const RULES: ReadonlyMap<string, RuleOf> = new Map([
  ...each(conv, 'Conv'),
  ...each(quantizedConv, 'QLinearConv ConvInteger'),
  ...each(maxPool, 'MaxPool'),
  ...each(averagePool, 'AveragePool'),
  ...each(lpPool, 'LpPool'),
  ...each(convTranspose, 'ConvTranspose'),
  ...each(depthToSpace, 'DepthToSpace'),
  ...each(spaceToDepth, 'SpaceToDepth'),
  ...each(resize, 'Resize Upsample'),
  ...each(dropout, 'Dropout'),
  ...each(
    unary,
    `Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu
    HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid
    Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu`,
  ),
  ...each(
    broadcast,
    `Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod
    Mul Or Pow PRelu Sub Sum Where Xor`,
  ),
  ...each(batchNormalization, 'BatchNormalization'),
  ...each(perChannel, 'LRN'),
  ...each(quantize, 'QuantizeLinear DequantizeLinear'),
  ...each(softmax, 'Softmax LogSoftmax Hardmax'),
  ...each(trailingNorm, 'LayerNormalization RMSNormalization'),
  ...each(alongAxis, 'LpNormalization CumSum'),
  ...each(
    reduce,
    `ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare`,
  ),
  ...each(concat, 'Concat'),
  ...each(split, 'Split'),
  ...each(slice, 'Slice'),
  ...each(gather, 'Gather'),
  ...each(pad, 'Pad'),
  ...each(matMul, 'MatMul'),
  ...each(transpose, 'Transpose'),
  ...each(reshape, 'Reshape Flatten'),
  ...each(squeeze, 'Squeeze'),
  ...each(unsqueeze, 'Unsqueeze'),
]);

/** Names of the operators that have a rule. */
export const TILED_OPERATORS: ReadonlySet<string> = new Set(RULES.keys());

/** Operators of which every output cell depends on every input cell, so no rule can exist. */
const WHOLE_MAP_OPERATORS: ReadonlySet<string> = new Set(
  `GlobalAveragePool GlobalMaxPool GlobalLpPool InstanceNormalization GroupNormalization MeanVarianceNormalization Gemm
  DynamicQuantizeLinear TopK NonMaxSuppression Attention`.split(/\s+/),
);

/** Whether an operator combines any of its inputs cell by cell, with broadcasting. */
export function combinesCells(op: string): boolean {
  return RULES.get(op) === broadcast;
}

/** The tiling rule of a node, or why it has none. */
export function ruleFor(view: NodeView): NodeRule | Obstacle {
  const { op, domain } = view.node;
  if (domain !== '' && domain !== 'ai.onnx')
    return obstacle(`belongs to the operator set ${domain}, which has no rule for tiles`);
  if (WHOLE_MAP_OPERATORS.has(op)) return obstacle('needs the whole map');
  const rule = RULES.get(op);
  if (rule === undefined) return obstacle('has no rule for tiles');
  if (view.opset > NEWEST_OPSET)
    return obstacle(`is of operator set ${view.opset}; the rules for tiles know those up to ${NEWEST_OPSET}`);
  return unknownAttribute(view.node) ?? tooWide(view) ?? rule(view);
}

/** Operators whose integer results can be large; other operators with integer results count or select. */
const MAKES_LARGE = new Set(['Cast', 'ConvInteger']);

/**
 * Refuses maps that cannot be cropped losslessly: before version 11 a tile is cropped as float32, which is exact for
 * integers up to 2^24. The results of ArgMax and similar operators are smaller.
 */
function tooWide(view: NodeView): Obstacle | undefined {
  const isWide = (dtype: Dtype | undefined) => dtype !== undefined && !canPad(dtype, view.opset);
  const made = view.made(0);
  const inputs = view.node.inputs.map((_, i) => (view.map(i) === undefined ? undefined : view.input(i)?.dtype));
  const wide = [
    ...(MAKES_LARGE.has(view.node.op) || made === 'float64' ? [made] : []),
    ...inputs.filter((dtype, i) => dtype === 'float64' || view.given(i)),
  ].find(isWide);
  return wide && obstacle(`has maps of ${wide}, which tiles can crop from operator set 11 on`);
}
