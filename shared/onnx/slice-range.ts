/** Elements that a slice takes along one axis: `count` of them, from `start`, every `step`. */
export interface SliceRange {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** What Slice-13 takes of an axis: negative positions count from the end, positions beyond the ends are clamped. */
export function sliceRange(size: number, start: number, end: number, step: number): SliceRange {
  const from = start < 0 ? start + size : start;
  const to = end < 0 ? end + size : end;
  const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
  if (step > 0) {
    const first = clamp(from, 0, size);
    return { start: first, step, count: Math.max(0, Math.ceil((clamp(to, 0, size) - first) / step)) };
  }
  const first = clamp(from, 0, size - 1);
  return { start: first, step, count: Math.max(0, Math.ceil((clamp(to, -1, size - 1) - first) / step)) };
}
