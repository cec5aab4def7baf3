import type { CodecSpec } from '../../shared/codec/spec.ts';
import type { RoundingEffect } from '../../shared/onnx/rounding.ts';
import { numbers } from '../../shared/tensor/numbers.ts';
import type { Dtype, Tensor } from '../../shared/tensor/tensor.ts';

/**
 * Compares two nodes' results of the same tile. Processors round differently and add in other orders, so results are
 * equal within a tolerance by element type and codec:
 *
 *     |a - b| <= relative * scale + absolute + steps of the codec,    scale = the lesser of max |a| and max |b|
 *
 * The lesser, so that a node cannot widen the tolerance with huge values. Sound nodes are far within it: 1e-6 of the
 * scale for float32. Smaller differences cannot be distinguished from rounding. Where `a` is central's own result and
 * `perturbedOwn` its result for perturbed inputs (perturbed.ts), `PERTURBATION_FACTOR` times their distance is added.
 */

const TOLERANCE: Readonly<Partial<Record<Dtype, { readonly relative: number; readonly absolute: number }>>> = {
  float64: { relative: 1e-3, absolute: 1e-4 },
  float32: { relative: 1e-3, absolute: 1e-4 },
  float16: { relative: 1e-2, absolute: 1e-3 },
  // One step of 8 bits may be added in every layer of a quantised network.
  uint8: { relative: 0, absolute: 2 },
  int8: { relative: 0, absolute: 2 },
};
/** Other types (integers and booleans) must be equal. */
const EXACT = { relative: 0, absolute: 0 } as const;
/**
 * Where operators turn small differences into steps: a wider tolerance, and the share of elements that may exceed it.
 */
const JUMPS = { relative: 0.05, strays: 0.02 } as const;
/** Rounding may fall on either side of a step, in both results. */
const STEPS = 1.5;
/**
 * Every layer rounds again, and sums of thousands round as often. The perturbation changes the output of a stable
 * network by 1e-6 of its scale.
 */
const PERTURBATION_FACTOR = 64;
/** Rounding to 11 significant bits, on either side. */
const FP16_STEP = 2 ** -10;

/** Whether two tensors of one shape and type agree; `codec` is that of both. */
export function tensorsAgree(
  a: Tensor,
  b: Tensor,
  codec: CodecSpec,
  rounding: RoundingEffect,
  moved?: Tensor,
): boolean {
  if (rounding === 'random') return true;
  const [x, y] = [numbers(a), numbers(b)];
  if (x.length !== y.length) return false;
  const [left, right] = [span(x), span(y)];
  const scale = Math.min(left.size, right.size);
  const { relative, absolute } = TOLERANCE[a.dtype] ?? EXACT;
  const jumps = rounding === 'jumps';
  const step = stepOf(codec, scale, Math.min(left.range, right.range));
  // In such a network one step would widen the tolerance for all elements.
  const distance = moved === undefined || jumps ? 0 : PERTURBATION_FACTOR * distanceOf(x, numbers(moved));
  const tolerance = Math.max(relative, jumps ? JUMPS.relative : 0) * scale + absolute + STEPS * step + distance;
  let strays = jumps ? JUMPS.strays * x.length : 0;
  for (let i = 0; i < x.length; i++) {
    // Subtracting equal infinities would give NaN.
    if (Object.is(x[i], y[i]) || Math.abs(x[i]! - y[i]!) <= tolerance) continue;
    if (--strays < 0) return false;
  }
  return true;
}

/** Largest finite difference of two tensors. */
function distanceOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const distance = Math.abs(a[i]! - b[i]!);
    if (distance > most && Number.isFinite(distance)) most = distance;
  }
  return most;
}

/** Largest magnitude and range of the finite values. */
function span(values: ArrayLike<number>): { size: number; range: number } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low > high ? { size: 0, range: 0 } : { size: Math.max(Math.abs(low), Math.abs(high)), range: high - low };
}

/** One step of a codec, in units of the decoded values. */
function stepOf(codec: CodecSpec, scale: number, range: number): number {
  switch (codec.name) {
    case 'clip':
      return (codec.b - codec.a) / (2 ** codec.bits - 1);
    case 'q8':
      return range / 255;
    case 'fp16':
      return scale * FP16_STEP;
    default:
      return 0;
  }
}
