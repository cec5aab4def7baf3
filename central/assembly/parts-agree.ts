import { valuesOf } from '../../shared/codec/clip.ts';
import { bytesOf } from '../../shared/codec/floats.ts';
import { decodeOutputs } from '../../shared/node/part-outputs.ts';
import type { PlanGeometry } from '../../shared/plan/compiled-plan.ts';
import type { WireRegion } from '../../shared/protocol/messages/region.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { agree } from './agree.ts';

/**
 * Whether two results of one part agree; null where the second is not what the plan expects of it. `moved`: what became
 * of the first where inputs differed in their last places.
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
    // How large it is may hang on how a processor rounds.
    if (open === true) return true;
    // Codes are compared as what they stand for.
    const clip = geometry.quantised.get(tensor);
    const values = clip === undefined ? undefined : valuesOf(clip);
    const of = (held: Tensor): Tensor =>
      values === undefined
        ? held
        : { ...held, dtype: 'float32', data: bytesOf(Float32Array.from(held.data, (code) => values[code]!)) };
    const other = near === undefined ? undefined : of(near[k]!);
    return agree(of(a[k]!), of(b[k]!), clip ?? codec, geometry.rounding, other);
  });
}
