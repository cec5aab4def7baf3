import { intAttribute, intsAttribute, stringAttribute } from './attributes.ts';
import type { Node } from './model.ts';

/** How a window (convolution or pooling) slides along one spatial axis. */
export interface WindowAxis {
  readonly input: number;
  readonly output: number;
  /** Taps, without dilation. */
  readonly kernel: number;
  readonly dilation: number;
  readonly stride: number;
  /** Elements of padding, with auto_pad worked out. */
  readonly padBefore: number;
  readonly padAfter: number;
}

/** Extent of a dilated kernel. */
function extent(kernel: number, dilation: number): number {
  return (kernel - 1) * dilation + 1;
}

/**
 * Geometry of Conv, MaxPool, AveragePool, LpPool and their quantised forms over spatial axes of the given sizes.
 * Output sizes: ONNX Conv-11 and MaxPool-22; with `ceil_mode` a last window that would begin in the padding is left
 * out (ONNX pull request 5741, as ONNX Runtime does). SAME pads: output = ceil(input / stride), the odd one at the end
 * for SAME_UPPER.
 */
export function windowAxes(node: Node, kernel: readonly number[], sizes: readonly number[]): WindowAxis[] {
  const strides = intsAttribute(node, 'strides');
  const dilations = intsAttribute(node, 'dilations');
  const pads = intsAttribute(node, 'pads');
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET');
  const ceilMode = intAttribute(node, 'ceil_mode', 0) === 1;
  return sizes.map((size, axis) => {
    const stride = strides?.[axis] ?? 1;
    const dilation = dilations?.[axis] ?? 1;
    const reach = extent(kernel[axis] ?? 1, dilation);
    let padBefore = 0;
    let padAfter = 0;
    if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
      const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + reach - size);
      padBefore = autoPad === 'SAME_LOWER' ? Math.ceil(total / 2) : Math.floor(total / 2);
      padAfter = total - padBefore;
    } else if (autoPad !== 'VALID') {
      padBefore = pads?.[axis] ?? 0;
      padAfter = pads?.[axis + sizes.length] ?? 0;
    }
    const room = size + padBefore + padAfter - reach;
    let output = (ceilMode ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
    if (ceilMode && (output - 1) * stride >= size + padBefore) output--;
    return { input: size, output, kernel: kernel[axis] ?? 1, dilation, stride, padBefore, padAfter };
  });
}

/**
 * Geometry of ConvTranspose-11, seen from its own input: output = stride (input - 1) + output_padding + extent - pads.
 * `output_shape` and SAME pads fix the output and the pads follow from it (SAME: input * stride, or what a kernel shorter
 * than its stride reaches, as ONNX Runtime does).
 */
export function transposedWindowAxes(node: Node, kernel: readonly number[], sizes: readonly number[]): WindowAxis[] {
  const strides = intsAttribute(node, 'strides');
  const dilations = intsAttribute(node, 'dilations');
  const pads = intsAttribute(node, 'pads');
  const extra = intsAttribute(node, 'output_padding');
  const asked = intsAttribute(node, 'output_shape');
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET');
  const same = autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER';
  return sizes.map((size, axis) => {
    const stride = strides?.[axis] ?? 1;
    const dilation = dilations?.[axis] ?? 1;
    const full = stride * (size - 1) + (extra?.[axis] ?? 0) + extent(kernel[axis] ?? 1, dilation);
    // Older exporters give the whole shape, [n, c, ...], where only the spatial axes are meant.
    const fixed = asked?.[asked.length - sizes.length + axis] ?? (same ? Math.min(size * stride, full) : undefined);
    const geometry = { input: size, kernel: kernel[axis] ?? 1, dilation, stride };
    if (fixed !== undefined && fixed > 0) {
      const total = Math.max(0, full - fixed);
      const padBefore = autoPad === 'SAME_UPPER' ? Math.floor(total / 2) : Math.ceil(total / 2);
      return { ...geometry, output: fixed, padBefore, padAfter: total - padBefore };
    }
    const padBefore = autoPad === 'VALID' ? 0 : (pads?.[axis] ?? 0);
    const padAfter = autoPad === 'VALID' ? 0 : (pads?.[axis + sizes.length] ?? 0);
    return { ...geometry, output: full - padBefore - padAfter, padBefore, padAfter };
  });
}
