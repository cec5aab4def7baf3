import { TesseraError } from '../errors.ts';
import type { GraphNode } from './model.ts';
import { embedded, fields, text } from './protobuf.ts';

/** Deepest nesting of subgraphs; real networks nest two or three deep. */
const MAXIMUM_NESTING = 32;

function subgraphUses(graph: Uint8Array, depth: number): Set<string> {
  if (depth > MAXIMUM_NESTING) {
    throw new TesseraError('TESSERA_MODEL_INVALID', `Subgraphs are nested more than ${MAXIMUM_NESTING} deep.`, {
      hint: 'The file is damaged or hostile.',
    });
  }
  const used = new Set<string>();
  const made = new Set<string>();
  // GraphProto: node 1 {input 1, output 2, attribute 5}, initializer 5 {name 8}, input 11 {name 1}, output 12 {name 1}.
  for (const field of fields(graph)) {
    if (field.number === 1) {
      for (const part of fields(embedded(field))) {
        if (part.number === 1) used.add(text(part));
        else if (part.number === 2) made.add(text(part));
        else if (part.number === 5) for (const name of attributeUses(embedded(part), depth + 1)) used.add(name);
      }
    } else if (field.number === 5) {
      for (const part of fields(embedded(field))) if (part.number === 8) made.add(text(part));
    } else if (field.number === 11 || field.number === 12) {
      for (const part of fields(embedded(field))) {
        if (part.number === 1) (field.number === 11 ? made : used).add(text(part));
      }
    }
  }
  for (const name of made) used.delete(name);
  used.delete('');
  return used;
}

function attributeUses(attribute: Uint8Array, depth: number): Set<string> {
  const used = new Set<string>();
  for (const field of fields(attribute)) {
    if (field.number !== 6 && field.number !== 11) continue; // g, graphs
    for (const name of subgraphUses(embedded(field), depth)) used.add(name);
  }
  return used;
}

/** Tensors of the enclosing graph that the subgraphs of a node (If, Loop, Scan) read without listing them as inputs. */
export function capturedTensors(node: GraphNode): readonly string[] {
  const used = new Set<string>();
  for (const attribute of node.attributes.values()) {
    if (attribute.kind !== 'other') continue;
    for (const name of attributeUses(attribute.bytes, 0)) used.add(name);
  }
  return [...used];
}

/**
 * All tensors that a node reads, each name once: its inputs that are present, then those that its subgraphs capture.
 */
export function tensorsReadBy(node: GraphNode): readonly string[] {
  return [...new Set([...node.inputs.filter((name) => name !== ''), ...capturedTensors(node)])];
}

function describe(node: GraphNode): string {
  return `${node.op} "${node.name || node.outputs[0] || ''}"`;
}

/**
 * The nodes in topological order. Nodes that are in order already stay where they are; others move as little as
 * possible. `available` names the tensors that exist from the start (inputs, initializers). Throws
 * TESSERA_MODEL_INVALID for a tensor made twice, a tensor that no node makes, and a cycle.
 */
export function topologicalOrder(nodes: readonly GraphNode[], available: ReadonlySet<string>): readonly GraphNode[] {
  const makers = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (available.has(output) || makers.has(output)) {
        throw new TesseraError('TESSERA_MODEL_INVALID', `Tensor "${output}" is made twice, by ${describe(node)} too.`, {
          hint: 'In ONNX each tensor has one name and one maker: export the model again.',
        });
      }
      makers.set(output, index);
    }
  });
  const needs = nodes.map((node) =>
    tensorsReadBy(node).flatMap((input) => {
      if (available.has(input)) return [];
      const maker = makers.get(input);
      if (maker === undefined) {
        throw new TesseraError('TESSERA_MODEL_INVALID', `${describe(node)} reads "${input}", which nothing makes.`, {
          hint: 'The graph is incomplete: export the model again.',
        });
      }
      return [maker];
    }),
  );
  if (needs.every((makersOfInputs, index) => makersOfInputs.every((maker) => maker < index))) return nodes;
  return sorted(nodes, needs);
}

/** Depth-first with an explicit stack: a chain of a million nodes must not exhaust the call stack. */
function sorted(nodes: readonly GraphNode[], needs: readonly (readonly number[])[]): readonly GraphNode[] {
  const order: GraphNode[] = [];
  const state = new Uint8Array(nodes.length); // 0 new, 1 on the stack, 2 done
  const next = new Uint32Array(nodes.length);
  const stack: number[] = [];
  for (let root = 0; root < nodes.length; root++) {
    if (state[root] === 0) {
      stack.push(root);
      state[root] = 1;
    }
    while (stack.length > 0) {
      const index = stack[stack.length - 1]!;
      const need = needs[index]![next[index]!++];
      if (need === undefined) {
        state[index] = 2;
        order.push(nodes[index]!);
        stack.pop();
      } else if (state[need] === 1) {
        throw new TesseraError('TESSERA_MODEL_INVALID', `The graph has a cycle through ${describe(nodes[need]!)}.`, {
          hint: 'ONNX graphs have no cycles: export the model again.',
        });
      } else if (state[need] === 0) {
        stack.push(need);
        state[need] = 1;
      }
    }
  }
  return order;
}
