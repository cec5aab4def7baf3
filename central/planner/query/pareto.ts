import type { Ranked } from './rank.ts';

/** The plans of which no other one has both less latency and fewer bytes, the fastest first. */
export function paretoFront(plans: readonly Ranked[]): Ranked[] {
  const sorted = [...plans].sort(
    ({ prediction: a }, { prediction: b }) => a.latency_ms - b.latency_ms || a.transferred_bytes - b.transferred_bytes,
  );
  let fewest = Number.POSITIVE_INFINITY;
  return sorted.filter(({ prediction: { transferred_bytes } }) => {
    if (transferred_bytes >= fewest) return false;
    fewest = transferred_bytes;
    return true;
  });
}
