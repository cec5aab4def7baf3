import { intAttribute, intsAttribute } from '../../onnx/attributes.ts';
import type { Attribute } from '../../onnx/model.ts';
import { runtimeDeviation, type WindowAxis, windowAxes } from '../../onnx/window.ts';
import { type Axis, axisAt, type Layout } from '../layout.ts';
import { CELL_BY_CELL, type ReceptiveField, windowField } from '../receptive-field.ts';
import { type NodeRule, type NodeView, type Obstacle, obstacle, type Rewrite } from './rule.ts';

/** Refuses maps whose rows or columns do not lie where a window slides: ONNX windows slide over axes 2, 3, ... */
export function slidingLayout(view: NodeView): Layout | Obstacle {
  const layout = view.map(0);
  if (layout === undefined) return obstacle('slides over something that is no feature map');
  if (layout.h >= 0 && layout.h === layout.w) return obstacle('slides over rows and columns folded into one axis');
  if ((layout.h >= 0 && layout.h < 2) || (layout.w >= 0 && layout.w < 2))
    return obstacle('treats rows or columns as channels');
  return layout;
}

/** Refuses operators of which an input other than the first depends on the frame. */
function onlyFirstVaries(view: NodeView): Obstacle | undefined {
  for (let i = 1; i < view.node.inputs.length; i++)
    if (view.map(i) !== undefined) return obstacle('has weights that are computed from the frame');
  return undefined;
}

interface Windows {
  readonly rule: NodeRule;
  readonly axes: readonly WindowAxis[];
  readonly layout: Layout;
}

/**
 * Geometry of a window operator: its pads become a Pad in front of it, and the operator itself keeps none along rows
 * and columns.
 */
function windows(view: NodeView, kernel: readonly number[], fill: number): Windows | Obstacle {
  const layout = slidingLayout(view);
  if ('reason' in layout) return layout;
  const varying = onlyFirstVaries(view);
  if (varying !== undefined) return varying;
  const sizes = view.input(0)!.shape.slice(2);
  const axes = windowAxes(view.node, kernel, sizes);
  const deviation = runtimeDeviation(view.node, axes);
  if (deviation !== undefined) return obstacle(deviation);
  const fields: Record<Axis, ReceptiveField> = { h: CELL_BY_CELL, w: CELL_BY_CELL };
  const pads = [...axes.map((axis) => axis.padBefore), ...axes.map((axis) => axis.padAfter)];
  let moves = false;
  axes.forEach((axis, i) => {
    const spatial = axisAt(layout, i + 2);
    if (spatial === undefined) return;
    const extent = (axis.kernel - 1) * axis.dilation + 1;
    const alone = (cells: number) =>
      windowAxes(
        view.node,
        kernel,
        sizes.map(() => cells),
      )[i]!.output;
    fields[spatial] = windowField(extent, axis.stride, axis.padBefore, 'pad', alone);
    pads[i] = 0;
    pads[i + axes.length] = 0;
    moves ||= extent > 1 || axis.stride > 1 || axis.padBefore > 0 || axis.padAfter > 0;
  });
  const shape = view.output(0);
  const out = { ...layout, rows: layout.h < 0 ? 1 : shape[layout.h]!, cols: layout.w < 0 ? 1 : shape[layout.w]! };
  const allSpatial = axes.every((_, i) => axisAt(layout, i + 2) !== undefined);
  const attributes: Record<string, Attribute | undefined> = {
    pads: { kind: 'ints', value: pads },
    auto_pad: undefined,
    ...(allSpatial ? { ceil_mode: undefined } : {}),
  };
  const rewrite: Rewrite = moves ? { attributes } : {};
  const rule: NodeRule = { outputs: [out], inputs: [{ layout, ...fields, fill }], runs: 'exact', rewrite };
  return { rule, axes, layout };
}

function ruleOf(found: Windows | Obstacle): NodeRule | Obstacle {
  return 'reason' in found ? found : found.rule;
}

/** Kernel of a convolution: the attribute, else the weight's shape after its first two axes. */
export function convolutionKernel(view: NodeView, weight: number): readonly number[] | undefined {
  return intsAttribute(view.node, 'kernel_shape') ?? view.input(weight)?.shape.slice(2);
}

/** Conv: any strides, dilations, groups and pads, in one, two or more dimensions (ONNX Conv-1..22). */
export function conv(view: NodeView): NodeRule | Obstacle {
  const kernel = convolutionKernel(view, 1);
  return kernel === undefined ? obstacle('has weights of unknown shape') : ruleOf(windows(view, kernel, 0));
}

/** QLinearConv-10 and ConvInteger-10: as Conv, padded with the input's zero point. */
export function quantizedConv(view: NodeView): NodeRule | Obstacle {
  const kernel = convolutionKernel(view, view.node.op === 'ConvInteger' ? 1 : 3);
  const zero = view.present(2) ? view.values(2) : [0];
  if (kernel === undefined || zero?.length !== 1) return obstacle('has a zero point or weights that are not constant');
  return ruleOf(windows(view, kernel, zero[0]!));
}

/** LpPool-11..22: padding adds nothing to the norm. */
export function lpPool(view: NodeView): NodeRule | Obstacle {
  return ruleOf(windows(view, intsAttribute(view.node, 'kernel_shape') ?? [], 0));
}

/** MaxPool-1..22. Its second output, positions in the whole map, cannot be made by a tile. */
export function maxPool(view: NodeView): NodeRule | Obstacle {
  const dtype = view.input(0)?.dtype;
  const lowest = dtype === 'uint8' ? 0 : dtype === 'int8' ? -128 : Number.NEGATIVE_INFINITY;
  return ruleOf(windows(view, intsAttribute(view.node, 'kernel_shape') ?? [], lowest));
}

/** Factors that turn sum / kernel into sum / count for each output cell; undefined where all are 1. */
function countFactors(axis: WindowAxis, includePad: boolean): readonly number[] | undefined {
  const from = includePad ? -axis.padBefore : 0;
  const to = includePad ? axis.input + axis.padAfter : axis.input;
  const factors = Array.from({ length: axis.output }, (_, cell) => {
    let count = 0;
    for (let tap = 0; tap < axis.kernel; tap++) {
      const position = cell * axis.stride - axis.padBefore + tap * axis.dilation;
      if (position >= from && position < to) count++;
    }
    return count === 0 ? 1 : axis.kernel / count;
  });
  return factors.every((factor) => factor === 1) ? undefined : factors;
}

/**
 * AveragePool-7..22. In a tile the padding is data, so the operator divides by the whole kernel. Where the network
 * divides by fewer cells (count_include_pad = 0, or a last window past the padding under ceil_mode), the result is
 * multiplied by kernel / count, which is the product of one factor for the row and one for the column.
 */
export function averagePool(view: NodeView): NodeRule | Obstacle {
  const found = windows(view, intsAttribute(view.node, 'kernel_shape') ?? [], 0);
  if ('reason' in found) return found;
  const includePad = intAttribute(view.node, 'count_include_pad', 0) === 1;
  const counts: Partial<Record<Axis, readonly number[]>> = {};
  found.axes.forEach((axis, i) => {
    const spatial = axisAt(found.layout, i + 2);
    const factors = spatial === undefined ? undefined : countFactors(axis, includePad);
    if (spatial !== undefined && factors !== undefined) counts[spatial] = factors;
  });
  return { ...found.rule, rewrite: { ...found.rule.rewrite, counts } };
}
