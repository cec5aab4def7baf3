/** Elements that a slice takes along one axis: `count` of them, from `start`, every `step`. */
export interface SliceRange {
  readonly start: number;
  readonly step: number;
  readonly count: number;
}

/** Ends that mean "as far as possible" also for negative steps, as in ONNX Runtime: the greatest int32 and int64. */
const ALL_THE_WAY: ReadonlySet<number> = new Set([2 ** 31 - 1, 2 ** 63]);

/**
 * The range that Slice-13 takes of an axis: negative positions count from the end, positions beyond the ends are
 * clamped.
 */
export function sliceRange(size: number, start: number, end: number, step: number): SliceRange {
  const from = start < 0 ? start + size : start;
  const to = end < 0 ? end + size : end;
  const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
  if (step > 0) {
    const first = clamp(from, 0, size);
    return { start: first, step, count: Math.max(0, Math.ceil((clamp(to, 0, size) - first) / step)) };
  }
  const first = clamp(from, 0, size - 1);
  if (ALL_THE_WAY.has(end)) return { start: first, step, count: Math.ceil((first + 1) / -step) };
  return { start: first, step, count: Math.max(0, Math.ceil((clamp(to, -1, size - 1) - first) / step)) };
}
