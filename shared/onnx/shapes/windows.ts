import type { Dtype } from '../../tensor/tensor.ts';
import { intAttribute, intsAttribute } from '../attributes.ts';
import { transposedWindowAxes, type WindowAxis, windowAxes } from '../window.ts';
import { input, misfit, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

function outputSizes(op: Operator, axes: readonly WindowAxis[]): number[] {
  return axes.map((axis) => {
    if (!(axis.stride > 0 && axis.dilation > 0 && axis.kernel > 0)) throw misfit(op, 'has a window without extent');
    if (axis.output >= 1) return axis.output;
    throw misfit(op, `slides a window of ${axis.kernel} over ${axis.input} elements, which are too few`);
  });
}

/** Convolutions: [n, c, ...] by [m, c / group, ...] to [n, m, ...]. */
function convolution(op: Operator, weight: number, dtype: Dtype) {
  const data = input(op, 0);
  const filters = input(op, weight);
  if (data.shape.length < 3 || filters.shape.length !== data.shape.length) {
    throw misfit(op, `cannot convolve [${data.shape}] with [${filters.shape}]`);
  }
  const group = intAttribute(op.node, 'group', 1);
  if (filters.shape[1]! * group !== data.shape[1]) {
    throw misfit(op, `has ${filters.shape[1]! * group} input channels and gets ${data.shape[1]}`);
  }
  const axes = windowAxes(op.node, filters.shape.slice(2), data.shape.slice(2));
  return [{ dtype, shape: [data.shape[0]!, filters.shape[0]!, ...outputSizes(op, axes)] }];
}

const transposedConvolution: ShapeRule = (op) => {
  const data = input(op, 0);
  const filters = input(op, 1);
  if (data.shape.length < 3 || filters.shape.length !== data.shape.length || filters.shape[0] !== data.shape[1]) {
    throw misfit(op, `cannot convolve [${data.shape}] with [${filters.shape}]`);
  }
  const channels = filters.shape[1]! * intAttribute(op.node, 'group', 1);
  const axes = transposedWindowAxes(op.node, filters.shape.slice(2), data.shape.slice(2));
  return [{ dtype: data.dtype, shape: [data.shape[0]!, channels, ...outputSizes(op, axes)] }];
};

const pooling: ShapeRule = (op) => {
  const data = input(op, 0);
  const kernel = intsAttribute(op.node, 'kernel_shape');
  if (kernel === undefined || data.shape.length !== kernel.length + 2) {
    throw misfit(op, `pools [${data.shape}] with a window of [${kernel ?? []}]`);
  }
  const sizes = outputSizes(op, windowAxes(op.node, kernel, data.shape.slice(2)));
  const shape = [...data.shape.slice(0, 2), ...sizes];
  // MaxPool's second output holds the position of each maximum.
  return [
    { dtype: data.dtype, shape },
    { dtype: 'int64', shape },
  ];
};

const globalPooling: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  return [{ dtype, shape: shape.map((size, axis) => (axis < 2 ? size : 1)) }];
};

/** MaxUnpool-11 undoes a MaxPool; its third input names the size that the window arithmetic leaves open. */
const unpooling: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  if (op.inputs[2] !== undefined) {
    const asked = op.constant(2);
    return asked && [{ dtype, shape: asked }];
  }
  const kernel = intsAttribute(op.node, 'kernel_shape') ?? [];
  const axes = transposedWindowAxes(op.node, kernel, shape.slice(2));
  return [{ dtype, shape: [...shape.slice(0, 2), ...axes.map((axis) => axis.output)] }];
};

/** Operators with sliding windows, and pooling over whole maps. */
export const WINDOWS: ShapeRules = {
  Conv: (op) => convolution(op, 1, input(op, 0).dtype),
  ConvInteger: (op) => convolution(op, 1, 'int32'),
  QLinearConv: (op) => convolution(op, 3, input(op, 7).dtype),
  'com.microsoft:FusedConv': (op) => convolution(op, 1, input(op, 0).dtype),
  DeformConv: (op) => convolution(op, 1, input(op, 0).dtype),
  ConvTranspose: transposedConvolution,
  MaxPool: pooling,
  AveragePool: pooling,
  LpPool: pooling,
  GlobalAveragePool: globalPooling,
  GlobalMaxPool: globalPooling,
  GlobalLpPool: globalPooling,
  'com.microsoft:QLinearGlobalAveragePool': globalPooling,
  MaxUnpool: unpooling,
};
