import type { PlanProgress } from './messages/node.ts';

/** How much of a model's pieces a node has: `34 of 59 MB at 2.4 MB/s, 11 s left`. */
export function fetchedText({
  bytes = 0,
  of = 0,
  bytes_per_s,
  left_s,
}: Pick<PlanProgress, 'bytes' | 'of' | 'bytes_per_s' | 'left_s'>): string {
  const rate = bytes_per_s === undefined ? '' : ` at ${megabytes(bytes_per_s)} MB/s`;
  const left = left_s === undefined ? '' : `, ${left_s} s left`;
  return `${megabytes(bytes)} of ${megabytes(of)} MB${rate}${left}`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 && bytes > 0 ? 1 : 0);
}
