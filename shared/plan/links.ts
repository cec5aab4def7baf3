import type { Box } from '../tensor/tensor.ts';
import type { PartForm, StageForm } from '../tiling/form.ts';
import type { PartLink } from './compiled-plan.ts';
import type { Stage } from './plan.ts';

/** What two boxes of one tensor have in common; undefined where that is nothing. */
export function intersection(a: Box, b: Box): Box | undefined {
  const common = a.map(([start, end], axis): readonly [number, number] => [
    Math.max(start, b[axis]![0]),
    Math.min(end, b[axis]![1]),
  ]);
  return common.every(([start, end]) => start < end) ? common : undefined;
}

/**
 * The regions that a part reads of earlier stages' parts: by its inputs in order, then by the maker's t_id. Its other
 * inputs are tensors of the frame. `bytes` measures a region.
 */
export function linksOf(
  part: PartForm,
  stages: readonly Stage[],
  forms: readonly StageForm[],
  bytes: (tensor: string, box: Box) => number,
): PartLink[] {
  return part.in.flatMap(({ tensor, box: read }) => {
    const maker = stages.find(({ outputs }) => outputs.includes(tensor));
    if (maker === undefined) return [];
    return forms[maker.id]!.parts.flatMap(({ t_id, out }) => {
      const box = intersection(read, out.find((region) => region.tensor === tensor)!.box);
      return box === undefined ? [] : [{ stage: maker.id, t_id, tensor, box, bytes: bytes(tensor, box) }];
    });
  });
}
