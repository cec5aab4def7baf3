import type { GraphNode, Initializer } from './model.ts';
import { embedded, fields } from './protobuf.ts';
import { type GraphParts, readGraphParts } from './read.ts';

const BRANCHES = ['then_branch', 'else_branch'] as const;

/** The nodes and constants that replace an If whose condition is constant. */
export interface ChosenBranch {
  readonly nodes: readonly GraphNode[];
  readonly initializers: ReadonlyMap<string, Initializer>;
}

/** The encoded GraphProto of a graph attribute (AttributeProto: g 6). */
function graphOf(node: GraphNode, name: (typeof BRANCHES)[number]): Uint8Array | undefined {
  const attribute = node.attributes.get(name);
  if (attribute?.kind !== 'other') return undefined;
  for (const field of fields(attribute.bytes)) if (field.number === 6) return embedded(field);
  return undefined;
}

/** The branches of a node that has them (If), decoded. Throws TESSERA_MODEL_INVALID where one is damaged. */
export function branchesOf(node: GraphNode): readonly GraphParts[] {
  return BRANCHES.map((name) => graphOf(node, name)).flatMap((graph) =>
    graph === undefined ? [] : readGraphParts(graph),
  );
}

function identity(from: string, to: string): GraphNode {
  return { name: `${to}/branch`, op: 'Identity', domain: '', inputs: [from], outputs: [to], attributes: new Map() };
}

/**
 * The selected branch of an If as nodes of the enclosing graph. Exporters write an If where a dimension decides (a
 * squeeze of an axis that may be 1); once the shapes are fixed, its condition is constant. Undefined where the branch
 * cannot be inlined: it holds a sparse constant, or makes a tensor whose name `isTaken`.
 */
export function chosenBranch(
  node: GraphNode,
  condition: boolean,
  isTaken: (name: string) => boolean,
): ChosenBranch | undefined {
  const graph = graphOf(node, condition ? 'then_branch' : 'else_branch');
  if (graph === undefined) return undefined;
  const { nodes, initializers, outputs, sparse } = readGraphParts(graph);
  const made = [...initializers.keys(), ...nodes.flatMap((each) => each.outputs)];
  if (sparse.length > 0 || outputs.length !== node.outputs.length || made.some(isTaken)) return undefined;
  const results = node.outputs.flatMap((name, i) => (name === '' ? [] : [identity(outputs[i]!.name, name)]));
  return { nodes: [...nodes, ...results], initializers };
}
