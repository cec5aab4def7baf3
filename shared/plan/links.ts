import type { Box } from '../tensor/tensor.ts';
import type { PartOutline } from '../tiling/form.ts';
import type { PartLink } from './compiled-plan.ts';
import type { Stage } from './plan.ts';

/** Parts that make regions of one tensor: by their ranges along one axis, in order, then along the next. */
interface Makers {
  readonly ranges: readonly Range[];
  /** Behind the last axis: the parts that make this box. */
  readonly t_ids: readonly number[];
}

interface Range {
  readonly start: number;
  readonly end: number;
  /** The last end of this range and of those before it. */
  readonly reach: number;
  readonly within: Makers;
}

function makersOf(made: readonly { readonly t_id: number; readonly box: Box }[], axis = 0): Makers {
  if (made.every(({ box }) => box.length === axis)) return { ranges: [], t_ids: made.map(({ t_id }) => t_id) };
  const groups = new Map<string, (typeof made)[number][]>();
  for (const part of made) {
    const range = part.box[axis]!.join();
    const group = groups.get(range);
    if (group === undefined) groups.set(range, [part]);
    else group.push(part);
  }
  const sorted = [...groups.values()].sort(([a], [b]) => a!.box[axis]![0] - b!.box[axis]![0]);
  let reach = 0;
  const ranges = sorted.map((group) => {
    const [start, end] = group[0]!.box[axis]!;
    reach = Math.max(reach, end);
    return { start, end, reach, within: makersOf(group, axis + 1) };
  });
  return { ranges, t_ids: [] };
}

/** The index of the first range that may reach beyond a cell, by bisection. */
function firstBeyond(ranges: readonly Range[], cell: number): number {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]!.reach > cell) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** What each part has in common with a box, as far as that is something. */
function found({ ranges, t_ids }: Makers, read: Box, before: Box = []): { readonly t_id: number; readonly box: Box }[] {
  if (before.length === read.length) return t_ids.map((t_id) => ({ t_id, box: before }));
  const [first, last] = read[before.length]!;
  const all: { readonly t_id: number; readonly box: Box }[] = [];
  for (let k = firstBeyond(ranges, first); k < ranges.length && ranges[k]!.start < last; k++) {
    const { start, end, within } = ranges[k]!;
    const common = [Math.max(start, first), Math.min(end, last)] as const;
    if (common[0] < common[1]) all.push(...found(within, read, [...before, common]));
  }
  return all;
}

/**
 * Finds the regions that a part reads of earlier stages' parts: by its inputs in order, then by the maker's t_id. Its
 * other inputs are tensors of the frame. `bytes` measures a region.
 */
export function linksOf(
  stages: readonly Stage[],
  forms: readonly { readonly parts: readonly PartOutline[] }[],
  bytes: (tensor: string, box: Box) => number,
): (part: PartOutline) => PartLink[] {
  const read = new Set(stages.flatMap(({ inputs }) => inputs));
  const made = new Map<string, { readonly stage: number; readonly makers: Makers }>();
  for (const { id: stage, outputs } of stages)
    for (const tensor of outputs) {
      if (!read.has(tensor) || made.has(tensor)) continue;
      const boxes = forms[stage]!.parts.map(({ t_id, out }) => ({
        t_id,
        box: out.find((region) => region.tensor === tensor)!.box,
      }));
      made.set(tensor, { stage, makers: makersOf(boxes) });
    }
  return (part) =>
    part.in.flatMap(({ tensor, box: wanted }) => {
      const known = made.get(tensor);
      if (known === undefined) return [];
      return found(known.makers, wanted)
        .toSorted((a, b) => a.t_id - b.t_id)
        .map(({ t_id, box }) => ({ stage: known.stage, t_id, tensor, box, bytes: bytes(tensor, box) }));
    });
}
