import { valuesOf } from '../../shared/codec/clip.ts';
import { bytesOf } from '../../shared/codec/floats.ts';
import { decodeOutputs } from '../../shared/node/part-outputs.ts';
import type { PlanGeometry } from '../../shared/plan/compiled-plan.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { tensorsAgree } from './tensors-agree.ts';

/**
 * Whether two results of one part agree; null where the second does not have the form that the plan demands.
 * `perturbedOwn`: the first result for perturbed inputs.
 */
export function partsAgree(
  geometry: PlanGeometry,
  stage: number,
  tId: number,
  first: readonly WireRegion[],
  second: readonly WireRegion[],
  moved?: readonly WireRegion[],
): boolean | null {
  const a = decodeOutputs(geometry, stage, tId, first);
  const near = moved === undefined ? undefined : decodeOutputs(geometry, stage, tId, moved);
  let b: Tensor[];
  try {
    b = decodeOutputs(geometry, stage, tId, second);
  } catch {
    return null;
  }
  return geometry.stages[stage]!.parts[tId]!.out.every(({ tensor, codec, open }, k) => {
    // Its size may depend on a processor's rounding.
    if (open === true) return true;
    // Codes are compared as their decoded values.
    const clip = geometry.quantised.get(tensor);
    const values = clip === undefined ? undefined : valuesOf(clip);
    const of = (held: Tensor): Tensor =>
      values === undefined
        ? held
        : { ...held, dtype: 'float32', data: bytesOf(Float32Array.from(held.data, (code) => values[code]!)) };
    const other = near === undefined ? undefined : of(near[k]!);
    return tensorsAgree(of(a[k]!), of(b[k]!), clip ?? codec, geometry.rounding, other);
  });
}
