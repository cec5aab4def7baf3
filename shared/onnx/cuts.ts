import { byteLength } from '../tensor/tensor.ts';
import type { ResolvedModel } from './model.ts';
import { tensorsReadBy } from './order.ts';

/**
 * A cut at which exactly one tensor is live: it alone carries everything from the nodes before the cut to those after
 * it.
 */
export interface Cut {
  readonly tensor: string;
  readonly bytes: number;
  /** Index of the node that makes the tensor. */
  readonly nodeIndex: number;
}

/**
 * The cuts of a network at which exactly one tensor is live, in order (Scission's cut points, UCC 2020 section IV:
 * "where open == 0 exactly one tensor crosses"). Constants, and tensors that depend on constants alone, do not count as
 * live: each side can hold them. An output of the graph stays live until the end, so the last stage of a chain makes
 * all outputs. Neither the graph's input nor its last output is a cut.
 */
export function cutTensors(resolved: ResolvedModel): Cut[] {
  const { nodes, inputs, outputs } = resolved.model.graph;
  const reads = nodes.map(tensorsReadBy);
  const lastRead = new Map<string, number>();
  reads.forEach((names, index) => {
    for (const name of names) lastRead.set(name, index);
  });
  const results = new Set(outputs.map((output) => output.name));
  const isRead = (name: string, after: number) => (lastRead.get(name) ?? -1) > after;

  // Live tensors: they depend on the frame, are made already and are still needed.
  const fromFrame = new Set(inputs.map((input) => input.name));
  const open = new Set([...fromFrame].filter((name) => isRead(name, -1)));
  const makers = new Map<string, number>();
  const cuts: Cut[] = [];
  nodes.forEach((node, index) => {
    for (const name of reads[index]!) if (!isRead(name, index) && !results.has(name)) open.delete(name);
    if (!reads[index]!.some((name) => fromFrame.has(name))) return;
    for (const name of node.outputs) {
      if (name === '') continue;
      fromFrame.add(name);
      makers.set(name, index);
      if (results.has(name) || isRead(name, index)) open.add(name);
    }
    const [tensor] = open;
    if (tensor === undefined || open.size > 1 || !isRead(tensor, index) || cuts.at(-1)?.tensor === tensor) return;
    const spec = resolved.specs.get(tensor);
    const maker = makers.get(tensor);
    if (spec !== undefined && maker !== undefined) cuts.push({ tensor, bytes: byteLength(spec), nodeIndex: maker });
  });
  return cuts;
}
