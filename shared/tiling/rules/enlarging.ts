import { intAttribute, intsAttribute, stringAttribute } from '../../onnx/attributes.ts';
import { constantTensor } from '../../onnx/values.ts';
import { transposedWindowAxes } from '../../onnx/window.ts';
import { type Axis, axisAt, isFolded, type Layout } from '../layout.ts';
import { CELL_BY_CELL, type ReceptiveField } from '../receptive-field.ts';
import { tapsField } from '../taps.ts';
import { axisIndex, type NodeRule, type NodeView, type Obstacle, obstacle } from './rule.ts';
import { resizedTaps, type Sampling, samplingOf } from './sampling.ts';
import { convolutionKernel, slidingLayout } from './windows.ts';

/** The layout of an output of the same rank with other numbers of rows and columns. */
export function resized(layout: Layout, shape: readonly number[]): Layout {
  return { ...layout, rows: layout.h < 0 ? 1 : shape[layout.h]!, cols: layout.w < 0 ? 1 : shape[layout.w]! };
}

/**
 * ConvTranspose-1..22: input cell i adds to the output cells [i S - P, i S - P + K). A tile is run without pads. The
 * surplus cells are trimmed at once, because cells outside the map would not be zero.
 */
export function convTranspose(view: NodeView): NodeRule | Obstacle {
  const layout = slidingLayout(view);
  if ('reason' in layout) return layout;
  const kernel = convolutionKernel(view, 1);
  if (kernel === undefined || view.map(1) !== undefined || view.map(2) !== undefined)
    return obstacle('has weights that are computed from the frame');
  const sizes = view.input(0)!.shape.slice(2);
  const axes = transposedWindowAxes(view.node, kernel, sizes);
  const extra = intsAttribute(view.node, 'output_padding');
  const fields: Record<Axis, ReceptiveField> = { h: CELL_BY_CELL, w: CELL_BY_CELL };
  for (const [i, { input, output, kernel: taps, dilation, stride, padBefore }] of axes.entries()) {
    const spatial = axisAt(layout, i + 2);
    if (spatial === undefined) return obstacle('slides over an axis that is neither rows nor columns');
    const extent = (taps - 1) * dilation + 1;
    const last = extent - padBefore + (extra?.[i] ?? 0);
    if (extent < stride) return obstacle('leaves gaps between its windows (kernel smaller than stride)');
    if ((input - 1) * stride + last < output) return obstacle('has an output_shape larger than its windows reach');
    const alone = (cells: number) =>
      transposedWindowAxes(
        view.node,
        kernel,
        sizes.map(() => cells),
      )[i]!.output;
    fields[spatial] = {
      mul: 1,
      div: stride,
      lo: padBefore - extent + stride,
      hi: padBefore,
      beyond: 'clip',
      made: { up: stride, first: -padBefore, last },
      alone,
    };
  }
  const attributes = {
    pads: { kind: 'ints', value: axes.flatMap(() => [0, 0]) },
    auto_pad: undefined,
    output_shape: undefined,
  } as const;
  return {
    outputs: [resized(layout, view.output(0))],
    inputs: [{ layout, ...fields }],
    runs: 'exact',
    trim: true,
    rewrite: { attributes },
  };
}

/** An axis on which every input cell becomes a block of `factor` cells. */
export function blockField(factor: number): ReceptiveField {
  return {
    mul: 1,
    div: factor,
    lo: 0,
    hi: 0,
    beyond: 'clip',
    made: { up: factor, first: 0, last: factor },
    alone: (cells) => cells * factor,
  };
}

/** DepthToSpace-1..13, both modes. */
export function depthToSpace(view: NodeView): NodeRule | Obstacle {
  const layout = slidingLayout(view);
  if ('reason' in layout) return layout;
  if (layout.h !== 2 || layout.w !== 3) return obstacle('makes rows and columns of other axes');
  const field = blockField(intAttribute(view.node, 'blocksize', 1));
  return { outputs: [resized(layout, view.output(0))], inputs: [{ layout, h: field, w: field }], runs: 'exact' };
}

const HALF_PIXEL = new Set(['half_pixel', 'pytorch_half_pixel', 'half_pixel_symmetric']);

/**
 * Receptive field of an axis that is enlarged `r` times. The input position of output cell i is i / r (asymmetric), (2i
 * + 1 - r) / 2r (half pixel) or (2i + 1) / 2r (tf_half_pixel_for_nn), so it moves with the tile; its neighbours lie
 * around it.
 */
function enlargedField(r: number, sampling: Sampling): ReceptiveField | undefined {
  const base = {
    beyond: 'clip',
    made: { up: r, first: 0, last: r },
    alone: (cells: number) => cells * r,
  } as const;
  const half = HALF_PIXEL.has(sampling.coordinates);
  const shift = half ? 1 - r : sampling.coordinates === 'tf_half_pixel_for_nn' ? 1 : 0;
  if (!half && shift === 0 && sampling.coordinates !== 'asymmetric') return undefined;
  const [mul, div] = [2, 2 * r];
  const up = div - 1; // floor((p + div - 1) / div) = ceil(p / div)
  const scaled = half || shift === 1 ? shift : 0;
  if (sampling.mode === 'nearest') {
    const exact = half
      ? sampling.nearest.startsWith('round_')
      : sampling.nearest === 'floor' || sampling.nearest === 'simple';
    return exact ? { ...blockField(r), ...base } : { ...base, mul, div, lo: scaled, hi: scaled + up };
  }
  if (sampling.mode === 'linear') return { ...base, mul, div, lo: scaled, hi: scaled + up };
  if (sampling.mode === 'cubic') return { ...base, mul, div, lo: scaled - div, hi: scaled + 2 * div };
  return undefined;
}

/** Receptive field of an axis that keeps one cell of `m`. */
function reducedField(m: number): ReceptiveField {
  return { mul: m, div: 1, lo: 0, hi: m - 1, beyond: 'clip', alone: (cells) => Math.floor(cells / m) };
}

/** Scales of a Resize or Upsample, wherever its version keeps them: per axis output / input, or undefined. */
function givenScales(view: NodeView, axes: readonly number[]): Map<number, number> | Obstacle {
  const { node } = view;
  const attribute = node.attributes.get('scales');
  const input = node.op === 'Upsample' || view.opset < 11 ? 1 : 2;
  if (attribute === undefined && view.present(input) && view.input(input)?.shape[0] !== 0) {
    const values = view.values(input);
    if (values === undefined) return obstacle('has scales that are not constant');
    return new Map(values.map((scale, i) => [axes[i]!, scale]));
  }
  return new Map(attribute?.kind === 'floats' ? attribute.value.map((scale, i) => [axes[i]!, scale]) : []);
}

/**
 * Resize-10..19 and Upsample-7..9. With integer factors (or a reduction by 2, 4 or 8) the sampling grid moves with the
 * tile, and the operator runs on the tile unchanged. Otherwise (aligned corners, other factors) the sources of every
 * cell are listed (see Taps).
 */
export function resize(view: NodeView): NodeRule | Obstacle {
  const layout = view.map(0);
  if (layout === undefined || isFolded(layout)) return obstacle('resizes rows and columns folded into one axis');
  const { shape } = view.input(0)!;
  const out = view.output(0);
  const axes = intsAttribute(view.node, 'axes')?.map((axis) => axisIndex(axis, shape.length)) ?? shape.map((_, i) => i);
  const scales = givenScales(view, axes);
  if ('reason' in scales) return scales;
  if (stringAttribute(view.node, 'keep_aspect_ratio_policy', 'stretch') !== 'stretch')
    return obstacle('keeps an aspect ratio, which depends on the whole map');
  const sampling = samplingOf(view);
  if (sampling.coordinates === 'tf_crop_and_resize')
    return obstacle('crops a region given as a share of the whole map');
  const { dtype } = view.input(0)!;
  if (sampling.mode !== 'nearest' && !dtype.startsWith('float'))
    return obstacle(`interpolates ${dtype}, whose rounding depends on the position of a cell`);
  const factors = shape.map((size, dim) => wholeIfNearly(scales.get(dim) ?? out[dim]! / size));
  // A map that keeps its size is copied, whatever the scales.
  const copied = out.every((size, dim) => size === shape[dim]);
  const antialias = intAttribute(view.node, 'antialias', 0) === 1;
  // With antialias so is each axis that keeps its size.
  const isCopied = (size: number, dim: number): boolean => out[dim] === size && (antialias || factors[dim] === 1);
  const changed = shape.flatMap((size, dim) => (copied || isCopied(size, dim) ? [] : [dim]));
  const spatial = changed.filter((dim) => axisAt(layout, dim) !== undefined);
  const fields: Record<Axis, ReceptiveField> = { h: CELL_BY_CELL, w: CELL_BY_CELL };
  let moves = true;
  for (const dim of spatial) {
    const field = movingField(factors[dim]!, out[dim]! / shape[dim]!, sampling, antialias);
    if (field === undefined) moves = false;
    else fields[axisAt(layout, dim)!] = field;
  }
  if (!moves) {
    if (changed.length > spatial.length) return obstacle('resizes channels as well');
    if (antialias && spatial.some((dim) => out[dim]! < shape[dim]!)) return obstacle('smooths while it reduces');
    const refused = sampling.mode === 'nearest' ? undefined : unweightable(view, layout);
    if (refused !== undefined) return refused;
    for (const dim of spatial) {
      const scale = Math.fround(scales.get(dim) ?? out[dim]! / shape[dim]!);
      const taps = resizedTaps({ input: shape[dim]!, output: out[dim]!, scale }, sampling);
      if (taps === undefined) return obstacle(`samples by an unsupported coordinate mode (${sampling.coordinates})`);
      const alone = (cells: number) => Math.floor(Math.fround(Math.fround(factors[dim]!) * cells));
      fields[axisAt(layout, dim)!] = tapsField(taps, shape[dim]!, { mul: shape[dim]!, div: out[dim]! }, alone);
    }
  }
  const constant = constantTensor('scales', 'float32', [factors.length], factors);
  const rewrite =
    view.node.op === 'Upsample' || view.opset < 11
      ? {}
      : { attributes: { axes: undefined }, constants: new Map([[2, constant] as const, [3, undefined] as const]) };
  return {
    outputs: [resized(layout, out)],
    inputs: [{ layout, ...fields }],
    runs: 'exact',
    rewrite: moves ? rewrite : { ...rewrite, identity: true },
  };
}

/**
 * Why a map cannot be resampled with weights: a product with a matrix acts on the last two axes, and on float32 only.
 */
function unweightable(view: NodeView, layout: Layout): Obstacle | undefined {
  const { dtype, shape } = view.input(0)!;
  if (dtype !== 'float32') return obstacle(`interpolates ${dtype} by no whole factor`);
  const isLast = layout.w === shape.length - 1 && (layout.h < 0 || layout.h === shape.length - 2);
  return isLast ? undefined : obstacle('interpolates rows and columns that are not the last axes by no whole factor');
}

/** Exporters compute scales in float32: 2.0000002 means 2. */
function wholeIfNearly(factor: number): number {
  return Math.abs(factor - Math.round(factor)) < 1e-6 * factor ? Math.round(factor) : factor;
}

/** The receptive field of an axis whose sampling grid moves with the tile, or undefined where it does not. */
function movingField(
  factor: number,
  ratio: number,
  sampling: Sampling,
  antialias: boolean,
): ReceptiveField | undefined {
  if (Math.abs(factor - ratio) > 1e-6 * factor && factor > 1) return undefined;
  if (Number.isInteger(factor) && factor > 1) return enlargedField(factor, sampling);
  // The other half-pixel modes depend on the number of output cells, which is smaller in a tile.
  const known = sampling.coordinates === 'half_pixel' || sampling.coordinates === 'asymmetric';
  if ([2, 4, 8].includes(1 / factor) && known && !antialias && sampling.mode !== 'cubic')
    return reducedField(1 / factor);
  return undefined;
}
