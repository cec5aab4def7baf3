import { CENTRAL, type Stage } from './plan.ts';

/**
 * Whether a node keeps what a part of a stage needs. Slices of channels have weights of their own: a node keeps only
 * those of the parts that are pinned to it, unless it may have to stand in for other nodes. Central keeps all.
 */
export function keepsPart({ split, on, fallback }: Stage, tId: number, node: string): boolean {
  if (split.kind !== 'channels' || on.parts === undefined || node === CENTRAL) return true;
  return on.parts[tId] === node || fallback === 'nodes' || (Array.isArray(fallback) && fallback.includes(node));
}
