import type { PlacementProblem } from './placement.ts';

/** A place between two vertices at which one tensor is live: a cut of a chain. */
interface ChainCut {
  /** How many vertices are before it. */
  readonly at: number;
  /** Of that tensor. */
  readonly bytes: number;
}

/** Where one tensor alone carries everything from the vertices before to those behind. */
export function chainCuts({ vertices, tensors }: Pick<PlacementProblem, 'vertices' | 'tensors'>): ChainCut[] {
  const lastReader = tensors.map(({ readers }) => readers.at(-1) ?? -1);
  let live = tensors.flatMap(({ maker }, t) => (maker === -1 ? [t] : []));
  return vertices.flatMap(({ outputs }, v): ChainCut[] => {
    live = [...live, ...outputs].filter((t) => lastReader[t]! > v);
    const [tensor] = live;
    return live.length === 1 ? [{ at: v + 1, bytes: tensors[tensor!]!.bytes }] : [];
  });
}
