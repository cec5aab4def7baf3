import type { Dtype } from '../../tensor/tensor.ts';
import { intAttribute } from '../attributes.ts';
import { dtypeOf } from '../element-types.ts';
import { axisAttribute, broadcast, input, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

/** The output has the type of the first input. */
const like: ShapeRule = (op) => [input(op, 0)];

const shapesOf = (op: Operator): (readonly number[])[] => op.inputs.flatMap((spec) => (spec ? [spec.shape] : []));

const broadcasting: ShapeRule = (op) => [{ dtype: input(op, 0).dtype, shape: broadcast(op, shapesOf(op)) }];

const comparing: ShapeRule = (op) => [{ dtype: 'bool', shape: broadcast(op, shapesOf(op)) }];

const testing: ShapeRule = (op) => [{ dtype: 'bool', shape: input(op, 0).shape }];

const where: ShapeRule = (op) => [{ dtype: input(op, 1).dtype, shape: broadcast(op, shapesOf(op)) }];

/**
 * The shape of the first input with another element type; unknown for element types that Tessera's tensors cannot have.
 */
function typed(op: Operator, dtype: Dtype | undefined) {
  return dtype === undefined ? undefined : [{ dtype, shape: input(op, 0).shape }];
}

const quantize: ShapeRule = (op) => {
  const asked = intAttribute(op.node, 'output_dtype', 0);
  return typed(op, op.inputs[2]?.dtype ?? (asked === 0 ? 'uint8' : dtypeOf(asked)));
};

const dequantize: ShapeRule = (op) => {
  const asked = intAttribute(op.node, 'output_dtype', 0);
  return typed(op, asked === 0 ? input(op, 1).dtype : dtypeOf(asked));
};

/** DynamicQuantizeLinear-11: values, scale, zero point. */
const dynamicQuantize: ShapeRule = (op) => [
  { dtype: 'uint8', shape: input(op, 0).shape },
  { dtype: 'float32', shape: [] },
  { dtype: 'uint8', shape: [] },
];

/** Dropout: the mask is boolean since version 10, before that of the data's type. */
const dropout: ShapeRule = (op) => {
  const data = input(op, 0);
  return [data, { dtype: op.opset >= 10 ? 'bool' : data.dtype, shape: data.shape }];
};

/** BatchNormalization: outputs after the first are per-channel statistics, made in training mode only. */
const batchNormalization: ShapeRule = (op) => {
  const statistics = op.inputs[3];
  return [input(op, 0), statistics, op.inputs[4], statistics, statistics];
};

/** LayerNormalization-17: mean and deviation keep the axes before `axis` and have size 1 from there on. */
const layerNormalization: ShapeRule = (op) => {
  const data = input(op, 0);
  const axis = axisAttribute(op, -1, data.shape.length);
  const kept = { dtype: 'float32', shape: data.shape.map((size, i) => (i < axis ? size : 1)) } as const;
  return [data, kept, kept];
};

const named = (names: string, rule: ShapeRule): ShapeRules =>
  Object.fromEntries(names.split(' ').map((name) => [name, rule]));

/** Operators that keep the shape of their input, or broadcast their inputs. */
export const ELEMENTWISE: ShapeRules = {
  ...named(
    'Abs Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Neg Reciprocal Round Sign Sin Sinh Sqrt ' +
      'Tan Tanh Celu Clip Elu Gelu HardSigmoid HardSwish LeakyRelu Mish Relu Selu Shrink Sigmoid Softplus Softsign ' +
      'Swish ThresholdedRelu Identity Not BitwiseNot Softmax LogSoftmax Hardmax CumSum Trilu ' +
      'InstanceNormalization GroupNormalization RMSNormalization LpNormalization MeanVarianceNormalization LRN ' +
      'com.microsoft:Gelu com.microsoft:FastGelu com.microsoft:QuickGelu com.microsoft:BiasGelu ' +
      'ScatterElements ScatterND Scatter',
    like,
  ),
  ...named(
    'Add Sub Mul Div Pow Mod And Or Xor BitShift BitwiseAnd BitwiseOr BitwiseXor Sum Mean Max Min PRelu',
    broadcasting,
  ),
  ...named('Equal Less Greater LessOrEqual GreaterOrEqual', comparing),
  ...named('IsNaN IsInf', testing),
  Where: where,
  Cast: (op) => typed(op, dtypeOf(intAttribute(op.node, 'to', 0))),
  CastLike: (op) => typed(op, input(op, 1).dtype),
  QuantizeLinear: quantize,
  DequantizeLinear: dequantize,
  DynamicQuantizeLinear: dynamicQuantize,
  ...named('com.microsoft:QLinearSigmoid com.microsoft:QLinearLeakyRelu', like),
  ...named('com.microsoft:QLinearAdd com.microsoft:QLinearMul', (op) => [
    { dtype: input(op, 0).dtype, shape: broadcast(op, [input(op, 0).shape, input(op, 3).shape]) },
  ]),
  Dropout: dropout,
  BatchNormalization: batchNormalization,
  LayerNormalization: layerNormalization,
};
