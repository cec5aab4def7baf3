import type { ResolvedModel } from './model.ts';
import { nodeLabel } from './shapes/operator.ts';
import { hasShapeRule } from './shapes/registry.ts';

/**
 * Why a tensor's shape is unknown, as the end of a sentence that names the operator, constant or input where shape
 * inference stops. Undefined where the shape is known, or no such tensor exists.
 */
export function unknownShapeReason(resolved: ResolvedModel, tensor: string): string | undefined {
  const { graph } = resolved.model;
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const isUnknown = (name: string) => name !== '' && !resolved.specs.has(name);
  // The nodes are in topological order, so following the makers ends.
  for (let name = tensor; isUnknown(name); ) {
    const maker = makers.get(name);
    if (maker === undefined) {
      const exists = graph.initializers.has(name) || graph.inputs.some((input) => input.name === name);
      return exists ? `"${name}" is of a type that Tessera does not handle` : undefined;
    }
    const before = maker.inputs.find(isUnknown);
    if (before !== undefined) {
      name = before;
      continue;
    }
    const label = nodeLabel(maker);
    if (maker.domain !== '' && !hasShapeRule(maker))
      return `${label} is an operator of "${maker.domain}", which has no shape rule`;
    return `the output of ${label} is unknown before a run`;
  }
  return undefined;
}
