import type { PlacementProblem } from './placement.ts';

/**
 * The vertices that depend on all vertices before them, and on which all after them depend, in order. In a monotone
 * labelling with two machines, everything before a cut vertex on the first machine is there too, and everything behind
 * one on the second (QDMP, IMWUT 2020).
 */
export function cutVertices({ vertices, tensors }: Pick<PlacementProblem, 'vertices' | 'tensors'>): number[] {
  const ancestors: bigint[] = [];
  for (const { inputs } of vertices) {
    let all = 0n;
    for (const t of inputs) {
      const { maker } = tensors[t]!;
      if (maker !== -1) all |= ancestors[maker]! | (1n << BigInt(maker));
    }
    ancestors.push(all);
  }
  const found: number[] = [];
  let needed = -1n;
  for (let v = vertices.length - 1; v >= 0; v--) {
    const bit = 1n << BigInt(v);
    if (ancestors[v] === bit - 1n && (needed & bit) !== 0n) found.push(v);
    needed &= ancestors[v]!;
  }
  return found.reverse();
}
