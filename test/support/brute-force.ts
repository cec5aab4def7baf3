import { costOf, type Labels, type PlacementProblem } from '../../central/planner/placement/placement.ts';

/**
 * The cheapest monotone labelling and its cost, found by trying all of them. `cost`: default `costOf`. The cost is infinite where there is none.
 */
export function bruteForce(
  placement: PlacementProblem,
  cost = (labels: Labels) => costOf(placement, labels),
): { readonly labels: Labels; readonly ms: number } {
  const { vertices, tensors, machines } = placement;
  const labels: number[] = [];
  let best: { labels: Labels; ms: number } = { labels: [], ms: Infinity };
  const visit = (): void => {
    const v = labels.length;
    if (v === vertices.length) {
      const ms = cost(labels);
      if (ms < best.ms) best = { labels: [...labels], ms };
      return;
    }
    const { inputs } = vertices[v]!;
    const isAllowed = (maker: number, m: number) => maker === -1 || machines[labels[maker]!]!.rank <= machines[m]!.rank;
    for (const m of machines.keys()) {
      if (!inputs.every((t) => isAllowed(tensors[t]!.maker, m))) continue;
      labels.push(m);
      visit();
      labels.pop();
    }
  };
  visit();
  return best;
}

/** Whether no vertex is on an earlier tier than one of its predecessors. */
export function isMonotone({ machines, vertices, tensors }: PlacementProblem, labels: Labels): boolean {
  return vertices.every(({ inputs }, v) =>
    inputs.every((t) => {
      const { maker } = tensors[t]!;
      return maker === -1 || machines[labels[maker]!]!.rank <= machines[labels[v]!]!.rank;
    }),
  );
}
