import type { PlanProgress } from './messages/node.ts';

/** How much of a model's pieces a node has: `34 of 59 MB`. */
export function fetchedText({ bytes = 0, of = 0 }: Pick<PlanProgress, 'bytes' | 'of'>): string {
  return `${megabytes(bytes)} of ${megabytes(of)} MB`;
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 && bytes > 0 ? 1 : 0);
}
