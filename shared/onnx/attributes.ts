import type { GraphNode } from './model.ts';

/** Value of an integer attribute, or `fallback` where the node has none of this name. */
export function intAttribute(node: GraphNode, name: string, fallback: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'int' ? attribute.value : fallback;
}

/** Value of an integer-list attribute, or undefined where the node has none of this name. */
export function intsAttribute(node: GraphNode, name: string): readonly number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'ints' ? attribute.value : undefined;
}

/** Value of a float attribute, or `fallback` where the node has none of this name. */
export function floatAttribute(node: GraphNode, name: string, fallback: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'float' ? attribute.value : fallback;
}

/** Value of a float-list attribute, or undefined where the node has none of this name. */
export function floatsAttribute(node: GraphNode, name: string): readonly number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'floats' ? attribute.value : undefined;
}

/** Value of a string attribute, or `fallback` where the node has none of this name. */
export function stringAttribute(node: GraphNode, name: string, fallback: string): string {
  const attribute = node.attributes.get(name);
  return attribute?.kind === 'string' ? attribute.value : fallback;
}
