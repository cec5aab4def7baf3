import { floatsAttribute, intsAttribute, stringAttribute } from '../attributes.ts';
import { axisOf, input, misfit, type Operator, type ShapeRule, type ShapeRules } from './operator.ts';

/** The runtime multiplies size and scale in single precision and rounds down. */
function scaled(size: number, scale: number): number {
  return Math.floor(Math.fround(Math.fround(scale) * size));
}

function scale(op: Operator, scales: readonly number[], axes: readonly number[]) {
  const { dtype, shape } = input(op, 0);
  if (scales.length !== axes.length) throw misfit(op, `scales [${shape}] by [${scales}]`);
  const result = [...shape];
  axes.forEach((axis, i) => {
    result[axis] = scaled(shape[axis]!, scales[i]!);
  });
  return [{ dtype, shape: result }];
}

/** Upsample: `scales` is an attribute before version 9, the second input in version 9. */
const upsample: ShapeRule = (op) => {
  const axes = input(op, 0).shape.map((_, axis) => axis);
  const scales = op.opset < 9 ? floatsAttribute(op.node, 'scales') : op.constant(1);
  return scales && scale(op, scales, axes);
};

/**
 * Resize: scales are input 1 in version 10 and input 2 since version 11; sizes are input 3. Since version 18 both may
 * cover only some axes, and sizes may be bounds for a common scale (`keep_aspect_ratio_policy`).
 */
const resize: ShapeRule = (op) => {
  const { dtype, shape } = input(op, 0);
  const given = intsAttribute(op.node, 'axes');
  const axes = (given ?? shape.map((_, axis) => axis)).map((axis) => axisOf(op, axis, shape.length));
  if (op.opset < 11) {
    const scales = op.constant(1);
    return scales && scale(op, scales, axes);
  }
  const scalesSpec = op.inputs[2];
  if (scalesSpec !== undefined && scalesSpec.shape[0] !== 0) {
    const scales = op.constant(2);
    return scales && scale(op, scales, axes);
  }
  const sizes = op.constant(3);
  if (sizes === undefined) return undefined;
  if (sizes.length !== axes.length) throw misfit(op, `resizes [${shape}] to [${sizes}]`);
  const policy = stringAttribute(op.node, 'keep_aspect_ratio_policy', 'stretch');
  const result = [...shape];
  if (policy === 'stretch')
    axes.forEach((axis, i) => {
      result[axis] = sizes[i]!;
    });
  else {
    // The runtime computes aspect ratios in single precision, and ignores axes that count from the end.
    const counted = axes.flatMap((axis, i) =>
      (given?.[i] ?? 0) < 0 ? [] : [{ axis, ratio: Math.fround(sizes[i]! / shape[axis]!) }],
    );
    const ratios = counted.map(({ ratio }) => ratio);
    const common = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
    for (const { axis } of counted) result[axis] = Math.round(Math.fround(common * shape[axis]!));
  }
  return [{ dtype, shape: result }];
};

/** Operators that change the resolution. */
export const RESIZING: ShapeRules = { Upsample: upsample, Resize: resize };
