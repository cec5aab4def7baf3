import { intAttribute, intsAttribute, stringAttribute } from './attributes.ts';
import type { GraphNode } from './model.ts';

/** How a window (convolution or pooling) slides along one spatial axis. */
export interface WindowAxis {
  readonly input: number;
  readonly output: number;
  /** Kernel size, without dilation. */
  readonly kernel: number;
  readonly dilation: number;
  readonly stride: number;
  /** Elements of padding; auto_pad is resolved. */
  readonly padBefore: number;
  readonly padAfter: number;
}

/** Extent of a dilated kernel. */
function extent(kernel: number, dilation: number): number {
  return (kernel - 1) * dilation + 1;
}

const POOLS: ReadonlySet<string> = new Set(['MaxPool', 'AveragePool', 'LpPool']);

/**
 * Windows minus one that fit; rounds towards zero as C++ does, so a pool whose window is longer than the map by less
 * than a stride makes one cell.
 */
function steps(room: number, stride: number, up: boolean): number {
  return up ? Math.ceil(room / stride) : Math.trunc(room / stride);
}

/**
 * Geometry of Conv, MaxPool, AveragePool, LpPool and their quantised forms over spatial axes of the given sizes. ONNX
 * Runtime 1.30 is the reference, also where it deviates from ONNX (see `runtimeDeviation`). Output sizes: ONNX Conv-11
 * and MaxPool-22; with `ceil_mode` a last window that would begin in the padding is left out (ONNX pull request 5741).
 * SAME pads: output = ceil(input / stride); SAME_UPPER puts the odd one at the end.
 */
export function windowAxes(node: GraphNode, kernel: readonly number[], sizes: readonly number[]): WindowAxis[] {
  const strides = intsAttribute(node, 'strides');
  const dilations = intsAttribute(node, 'dilations');
  const pads = intsAttribute(node, 'pads');
  const autoPad = stringAttribute(node, 'auto_pad', 'NOTSET');
  const ceilMode = intAttribute(node, 'ceil_mode', 0) === 1;
  const isPool = POOLS.has(node.op);
  return sizes.map((size, axis) => {
    const stride = strides?.[axis] ?? 1;
    const dilation = dilations?.[axis] ?? 1;
    const taps = kernel[axis] ?? 1;
    const reach = extent(taps, dilation);
    let padBefore = 0;
    let padAfter = 0;
    if (autoPad === 'SAME_UPPER' || autoPad === 'SAME_LOWER') {
      // Pools of the runtime ignore the dilation, and crop where the stride is longer than the kernel.
      const lacking = (Math.ceil(size / stride) - 1) * stride + (isPool ? taps : reach) - size;
      const total = isPool ? lacking : Math.max(0, lacking);
      padBefore = Math.trunc((autoPad === 'SAME_LOWER' ? total + 1 : total) / 2);
      padAfter = total - padBefore;
    } else if (autoPad !== 'VALID') {
      padBefore = pads?.[axis] ?? 0;
      padAfter = pads?.[axis + sizes.length] ?? 0;
    }
    const room = size + padBefore + padAfter - reach;
    let output = (isPool ? steps(room, stride, ceilMode) : Math.floor(room / stride)) + 1;
    if (isPool && ceilMode && (output - 1) * stride >= size + padBefore) output--;
    return { input: size, output, kernel: taps, dilation, stride, padBefore, padAfter };
  });
}

/**
 * How a window operator of ONNX Runtime deviates from ONNX, as the end of a sentence; undefined where both agree. There
 * the runtime's own kernels disagree too, so tiles could differ from the whole network.
 */
export function runtimeDeviation(node: GraphNode, axes: readonly WindowAxis[]): string | undefined {
  if (!POOLS.has(node.op)) return undefined;
  const isSame = stringAttribute(node, 'auto_pad', 'NOTSET').startsWith('SAME_');
  if (isSame && axes.some(({ kernel, dilation }) => kernel > 1 && dilation > 1))
    return 'is dilated and padded to the SAME size, where ONNX Runtime deviates from ONNX';
  if (axes.some(({ padBefore, padAfter }) => padBefore < 0 || padAfter < 0))
    return 'has a stride longer than its kernel and SAME pads, which would be negative';
  if (
    axes.some(
      ({ input, padBefore, padAfter, kernel, dilation }) => input + padBefore + padAfter < extent(kernel, dilation),
    )
  )
    return 'has a window larger than its map';
  return undefined;
}

/**
 * Geometry of ConvTranspose-11 in terms of its input: output = stride (input - 1) + output_padding + extent - pads.
 * `output_shape` and SAME pads fix the output, and the pads follow from it. (SAME: input * stride, or the reach of a
 * kernel shorter than its stride, as in ONNX Runtime.)
 */
export function transposedWindowAxes(
  node: GraphNode,
  kernel: readonly number[],
  sizes: readonly number[],
): WindowAxis[] {
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
    // Older exporters give the whole shape, [n, c, ...], where only the spatial axes are expected.
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
