import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';

/**
 * The speed-up that a plan would have without messages, with as many equal machines as a stage has parts, and one for
 * central: all multiply-adds by those of the largest part of each stage.
 */
export function speedUpBound({ stages }: Pick<CompiledPlan, 'stages'>, macs: number, nodes: number): number {
  const longest = stages.reduce(
    (sum, { parts }) =>
      sum +
      longestShare(
        parts.map(({ cost }) => cost),
        nodes,
      ),
    0,
  );
  return macs / longest;
}

/** The multiply-adds of the machine that has the most, where the next largest part goes to the one that has the least. */
function longestShare(costs: readonly number[], nodes: number): number {
  const loads = new Array<number>(nodes).fill(0);
  for (const cost of [...costs].sort((a, b) => b - a)) {
    const least = loads.indexOf(Math.min(...loads));
    loads[least]! += cost;
  }
  return Math.max(...loads);
}
