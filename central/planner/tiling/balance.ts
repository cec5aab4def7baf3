import { type Form, sizedForm } from './forms.ts';
import type { Stages, Step } from './stages.ts';

/**
 * Strips of a stage with their sizes moved, one row (or column) at a time, from the slowest machine to the fastest, until
 * the slowest gets no faster (EdgeLD, HPCC 2020). Forms that are no strips stay as they are.
 */
export function balanced(stages: Stages, { from, to, form }: Step): Form {
  const { division, machines } = form;
  if (division.kind !== 'tiles' || (division.rows.length > 1 && division.cols.length > 1)) return form;
  const axis = division.rows.length > 1 ? 'rows' : 'cols';
  let best = form;
  let sizes = division[axis];
  let ms = stages.partsMs(from, to, form)!;
  for (;;) {
    const [slowest, fastest] = [ms.indexOf(Math.max(...ms)), ms.indexOf(Math.min(...ms))];
    if (sizes[slowest]! <= 1) return best;
    sizes = sizes.with(slowest, sizes[slowest]! - 1);
    sizes = sizes.with(fastest, sizes[fastest]! + 1);
    const next = sizedForm(stages.places.geometry, to, { ...division, [axis]: sizes }, machines);
    const nextMs = stages.partsMs(from, to, next)!;
    if (Math.max(...nextMs) >= Math.max(...ms)) return best;
    [best, ms] = [next, nextMs];
  }
}
