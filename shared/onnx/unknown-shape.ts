import type { ResolvedModel } from './model.ts';
import { nodeLabel } from './shapes/operator.ts';
import { hasShapeRule } from './shapes/registry.ts';

/**
 * Why a tensor's shape is not known, as the end of a sentence that names the operator (or constant, or input) that
 * stops the inference; undefined where the shape is known, or there is no such tensor.
 */
export function unknownShapeReason(resolved: ResolvedModel, tensor: string): string | undefined {
  const { graph } = resolved.model;
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const isUnknown = (name: string) => name !== '' && !resolved.specs.has(name);
  // Nodes are in order, so that going from maker to maker ends.
  for (let name = tensor; isUnknown(name); ) {
    const maker = makers.get(name);
    if (maker === undefined) {
      const isThere = graph.initializers.has(name) || graph.inputs.some((input) => input.name === name);
      return isThere ? `"${name}" is of a type that Tessera does not handle` : undefined;
    }
    const before = maker.inputs.find(isUnknown);
    if (before !== undefined) {
      name = before;
      continue;
    }
    const label = nodeLabel(maker);
    if (maker.domain !== '' && !hasShapeRule(maker))
      return `${label} is an operator of "${maker.domain}", which Tessera does not know`;
    return `what ${label} makes is only known once it has run`;
  }
  return undefined;
}
