import type { PlanningGraph } from '../graph.ts';

const makers = new WeakMap<PlanningGraph, ReadonlyMap<string, number>>();

/** The layer that makes each tensor, by index. */
export function makersOf(graph: PlanningGraph): ReadonlyMap<string, number> {
  const known = makers.get(graph);
  if (known !== undefined) return known;
  const found = new Map(graph.layers.flatMap(({ outputs }, index) => outputs.map((tensor) => [tensor, index])));
  makers.set(graph, found);
  return found;
}

/** The layers (indices in ascending order) that make some tensors from others. */
export function layersBetween(
  graph: PlanningGraph,
  inputs: readonly string[],
  outputs: readonly string[],
): readonly number[] {
  const maker = makersOf(graph);
  const given = new Set(inputs);
  const found = new Set<number>();
  const pending = outputs.filter((tensor) => !given.has(tensor));
  while (pending.length > 0) {
    const index = maker.get(pending.pop()!);
    if (index === undefined || found.has(index)) continue;
    found.add(index);
    for (const tensor of graph.layers[index]!.inputs) if (!given.has(tensor)) pending.push(tensor);
  }
  return [...found].sort((a, b) => a - b);
}

/** The tensors that some layers read of others and of the frame, and those that they make for others and the user. */
export function boundaryOf(
  graph: PlanningGraph,
  layers: readonly number[],
): { readonly inputs: readonly string[]; readonly outputs: readonly string[] } {
  const own = new Set(layers);
  const made = new Set(layers.flatMap((layer) => graph.layers[layer]!.outputs));
  const read = new Set(layers.flatMap((layer) => graph.layers[layer]!.inputs));
  const wanted = new Set(graph.outputs);
  graph.layers.forEach(({ inputs }, layer) => {
    if (!own.has(layer)) for (const tensor of inputs) wanted.add(tensor);
  });
  return {
    inputs: [...read].filter((tensor) => !made.has(tensor)),
    outputs: [...made].filter((tensor) => wanted.has(tensor)),
  };
}
