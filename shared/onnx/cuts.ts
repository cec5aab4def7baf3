import { byteLength } from '../tensor/tensor.ts';
import { dagOf } from './dag.ts';
import type { Model, ResolvedModel } from './model.ts';

/** A place in the order of the nodes at which a network can be cut into two stages. */
export interface CutPoint {
  /** Index of the last node before the cut. */
  readonly after: number;
  /**
   * The live tensors: those that depend on the frame, are made or given before the cut, and are read behind it. Constants,
   * and tensors that depend on constants alone, do not count: each side can compute them.
   */
  readonly tensors: readonly string[];
  /** Outputs of the graph that are made before the cut. */
  readonly outputs: readonly string[];
}

/** The cut points of a network, in order, one for each set of live tensors; none at its very end. */
export function cutPoints({ model }: { readonly model: Pick<Model, 'graph'> }): CutPoint[] {
  const { nodes, inputs, outputs } = model.graph;
  const dag = dagOf({ model });
  const results = new Set(outputs.map(({ name }) => name));
  const isRead = (tensor: string, after: number): boolean => (dag.readers(tensor).at(-1) ?? -1) > after;
  const fromFrame = new Set(inputs.map(({ name }) => name));
  const live = new Set([...fromFrame].filter((tensor) => isRead(tensor, -1)));
  const made: string[] = [];
  const points: CutPoint[] = [];
  nodes.forEach(({ outputs: names }, index) => {
    for (const tensor of dag.reads[index]!) if (!isRead(tensor, index)) live.delete(tensor);
    if (!dag.reads[index]!.some((tensor) => fromFrame.has(tensor))) return;
    for (const tensor of names) {
      if (tensor === '') continue;
      fromFrame.add(tensor);
      if (results.has(tensor)) made.push(tensor);
      if (isRead(tensor, index)) live.add(tensor);
    }
    const tensors = [...live];
    if (tensors.length > 0 && points.at(-1)?.tensors.join('\n') !== tensors.join('\n'))
      points.push({ after: index, tensors, outputs: [...made] });
  });
  return points;
}

/** A cut at which exactly one tensor is live: it alone carries everything from the nodes before the cut to those behind it. */
export interface SingleCut {
  readonly tensor: string;
  readonly bytes: number;
  /** Index of the node that makes the tensor. */
  readonly nodeIndex: number;
}

/**
 * The cuts of a network at which exactly one tensor is live, in order (Scission's cut points, UCC 2020 section IV:
 * "where open == 0 exactly one tensor crosses"). An output of the graph stays live until the end, so the last stage of a
 * chain makes all outputs. Neither the graph's input nor its last output is a cut.
 */
export function singleCuts(resolved: ResolvedModel): SingleCut[] {
  const cuts: SingleCut[] = [];
  for (const { tensors, outputs } of cutPoints(resolved)) {
    const [tensor, another] = tensors as [string, ...string[]];
    if (another !== undefined || outputs.some((output) => output !== tensor)) continue;
    const nodeIndex = dagOf(resolved).maker(tensor);
    const spec = resolved.specs.get(tensor);
    if (nodeIndex !== undefined && spec !== undefined && cuts.at(-1)?.tensor !== tensor)
      cuts.push({ tensor, bytes: byteLength(spec), nodeIndex });
  }
  return cuts;
}
