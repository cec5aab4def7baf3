import { floatAttribute, intAttribute, stringAttribute } from '../../onnx/attributes.ts';
import type { Taps } from '../taps.ts';
import type { NodeView } from './rule.ts';

/** How Resize computes the input position of an output cell, and how it combines the cells around that position. */
export interface Sampling {
  readonly mode: string;
  readonly coordinates: string;
  readonly nearest: string;
  /** Cubic only: the coefficient `a` of Keys' kernel, and whether cells outside the map are left out of the sum. */
  readonly cubic: number;
  readonly excludeOutside: boolean;
}

/** Attributes of Resize-11 and later; fixed before (ONNX: asymmetric; the runtime rounds nearest down, up when it reduces). */
export function samplingOf(view: NodeView): Sampling {
  const { node } = view;
  const mode = stringAttribute(node, 'mode', 'nearest');
  const old = node.op === 'Upsample' || view.opset < 11;
  return {
    mode: mode === 'bilinear' ? 'linear' : mode,
    coordinates: old ? 'asymmetric' : stringAttribute(node, 'coordinate_transformation_mode', 'half_pixel'),
    nearest: old ? 'simple' : stringAttribute(node, 'nearest_mode', 'round_prefer_floor'),
    cubic: floatAttribute(node, 'cubic_coeff_a', -0.75),
    excludeOutside: intAttribute(node, 'exclude_outside', 0) === 1,
  };
}

/**
 * One axis of a Resize: cells in and out, and the scale as given (out / in where sizes are given), in single precision.
 */
export interface ResizedAxis {
  readonly input: number;
  readonly output: number;
  readonly scale: number;
}

const f = Math.fround;

/**
 * Input position of each output cell, every step in single precision as the runtime computes it: a position half way
 * between two cells falls to the same side. Formulas: ONNX, Resize-19, coordinate_transformation_mode. Undefined for a
 * mode that is not known.
 */
function positions({ input, output, scale }: ResizedAxis, coordinates: string): Float32Array | undefined {
  const half = (x: number) => f(f(f(x + 0.5) / scale) - 0.5);
  const adjusted = f(output / f(scale * input));
  const offset = f(f(input / 2) * f(1 - adjusted));
  const formulas: Readonly<Record<string, (x: number) => number>> = {
    half_pixel: half,
    half_pixel_symmetric: (x) => offset + (x + 0.5) / scale - 0.5,
    pytorch_half_pixel: (x) => (output > 1 ? half(x) : 0),
    tf_half_pixel_for_nn: (x) => f(f(x + 0.5) / scale),
    asymmetric: (x) => f(x / scale),
    align_corners: (x) => (output === 1 ? 0 : f(f(x * (input - 1)) / (output - 1))),
  };
  const formula = scale === 1 ? (x: number) => x : formulas[coordinates];
  return formula && Float32Array.from({ length: output }, (_, x) => formula(x));
}

/** Positions that count as the middle between two cells (ONNX Runtime 1.30; older versions compared exactly). */
const TIE = f(1e-6);

function rounded(x: number, atTie: (x: number) => number): number {
  return Math.abs(f(f(x - Math.floor(x)) - 0.5)) <= TIE ? atTie(x) : Math.round(x);
}

const NEAREST: Readonly<Record<string, (x: number, reduces: boolean) => number>> = {
  round_prefer_floor: (x) => rounded(x, Math.floor),
  round_prefer_ceil: (x) => rounded(x, Math.ceil),
  floor: Math.floor,
  ceil: Math.ceil,
  simple: (x, reduces) => (reduces ? Math.ceil(x) : Math.trunc(x)),
};

/** Weights of the four cells around a position that lies `s` behind the second (Keys' cubic convolution). */
function cubicWeights(s: number, a: number): number[] {
  return [
    ((a * (s + 1) - 5 * a) * (s + 1) + 8 * a) * (s + 1) - 4 * a,
    ((a + 2) * s - (a + 3)) * s * s + 1,
    ((a + 2) * (1 - s) - (a + 3)) * (1 - s) * (1 - s) + 1,
    ((a * (2 - s) - 5 * a) * (2 - s) + 8 * a) * (2 - s) - 4 * a,
  ];
}

/** The sources of a resized axis' cells, or undefined for an unsupported mode. */
export function resizedTaps(axis: ResizedAxis, sampling: Sampling): Taps | undefined {
  const at = positions(axis, sampling.coordinates);
  if (at === undefined) return undefined;
  const inside = (source: number) => Math.min(axis.input - 1, Math.max(0, source));
  const sources = (cell: (x: number) => number) => Int32Array.from(at, (x) => inside(cell(x)));
  if (sampling.mode === 'nearest') {
    const round = NEAREST[sampling.nearest];
    return round && { sources: [sources((x) => round(x, axis.scale < 1))] };
  }
  if (sampling.mode === 'linear') {
    const first = sources((x) => Math.floor(inside(x)));
    const second = first.map((source) => inside(source + 1));
    const above = Float32Array.from(at, (x, i) => inside(x) - first[i]!);
    return { sources: [first, second], weights: [above.map((weight) => 1 - weight), above] };
  }
  if (sampling.mode !== 'cubic') return undefined;
  const taps = [-1, 0, 1, 2];
  const weights = taps.map(() => new Float32Array(axis.output));
  at.forEach((x, i) => {
    const first = Math.floor(x);
    const own = cubicWeights(x - first, sampling.cubic).map((weight, t) =>
      sampling.excludeOutside && inside(first + taps[t]!) !== first + taps[t]! ? 0 : weight,
    );
    const sum = sampling.excludeOutside ? own.reduce((all, weight) => all + weight, 0) : 1;
    own.forEach((weight, t) => {
      weights[t]![i] = weight / sum;
    });
  });
  return { sources: taps.map((tap) => sources((x) => Math.floor(x) + tap)), weights };
}

/**
 * The sources of the cells of an axis that is padded with its own cells: mirrored at the border (reflect) or with the
 * border repeated (edge). ONNX, Pad-18.
 */
export function paddedTaps(cells: number, before: number, after: number, mode: 'reflect' | 'edge'): Taps {
  const period = 2 * (cells - 1);
  const source = (at: number): number => {
    if (mode === 'edge' || period === 0) return Math.min(cells - 1, Math.max(0, at));
    const inPeriod = ((at % period) + period) % period;
    return Math.min(inPeriod, period - inPeriod);
  };
  return { sources: [Int32Array.from({ length: cells + before + after }, (_, i) => source(i - before))] };
}
