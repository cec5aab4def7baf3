import { TesseraError } from '../errors.ts';
import type { Attribute, GraphNode } from './model.ts';
import { embedded, fields, MessageWriter, optionalText } from './protobuf.ts';
import { readNode } from './read.ts';
import { readTensor, writeTensor } from './tensor-proto.ts';
import { readValueInfo, writeValueInfo } from './value-info-proto.ts';
import { writeNode } from './write.ts';

/** How the names in a function's body are replaced where the function is inlined. */
export interface Substitution {
  /** Name in the calling graph of a tensor of the body; '' stays ''. */
  tensor(name: string): string;
  /** Name in the calling graph of a node of the body. */
  label(name: string): string;
  /** Value of a function attribute, or undefined where the call leaves it out. */
  attribute(name: string): Attribute | undefined;
  /** Called with each node before it is substituted, also in subgraphs; may throw. */
  visit(node: GraphNode): void;
}

/** Name of the function attribute that an encoded AttributeProto refers to (ref_attr_name 21). */
function referenceOf(attribute: Uint8Array): string | undefined {
  let name: string | undefined;
  for (const field of fields(attribute)) if (field.number === 21) name = optionalText(field);
  return name === '' ? undefined : name;
}

/** An attribute under another name; an encoded one carries its name inside (name 1). */
function renamed(name: string, attribute: Attribute): Attribute {
  if (attribute.kind !== 'other') return attribute;
  const message = new MessageWriter().text(1, name);
  for (const field of fields(attribute.bytes)) if (field.number !== 1) message.encoded(field.encoded);
  return { kind: 'other', bytes: message.finish() };
}

/**
 * A subgraph with its names substituted. GraphProto: node 1, initializer 5, input 11, output 12, value_info 13
 * (dropped), sparse_initializer 15 (refused).
 */
function substitutedGraph(graph: Uint8Array, by: Substitution): MessageWriter {
  const result = new MessageWriter();
  for (const field of fields(graph)) {
    if (field.number === 1) result.message(1, writeNode(substitutedNode(readNode(embedded(field)), by)));
    else if (field.number === 5) {
      const tensor = readTensor(embedded(field));
      result.message(5, writeTensor({ ...tensor, name: by.tensor(tensor.name) }));
    } else if (field.number === 11 || field.number === 12) {
      const value = readValueInfo(embedded(field));
      result.message(field.number, writeValueInfo({ ...value, name: by.tensor(value.name) }));
    } else if (field.number === 15) {
      throw new TesseraError(
        'TESSERA_MODEL_UNSUPPORTED',
        'A local function of the model holds a sparse constant tensor.',
        {
          hint: 'Inline the functions with onnx.inliner.inline_local_functions, or export the model without them.',
        },
      );
    } else if (field.number !== 13) result.encoded(field.encoded);
  }
  return result;
}

/** An encoded attribute with its subgraphs (g 6, graphs 11) substituted. */
function substitutedBytes(attribute: Uint8Array, by: Substitution): Uint8Array {
  const result = new MessageWriter();
  for (const field of fields(attribute)) {
    if (field.number === 6 || field.number === 11) {
      result.message(field.number, substitutedGraph(embedded(field), by));
    } else result.encoded(field.encoded);
  }
  return result.finish();
}

/**
 * A node of a function's body as a node of the calling graph. Tensors are renamed, also inside subgraphs; an attribute
 * that refers to the function's is replaced by its value, or left out where it has none (onnx.proto3, ref_attr_name).
 */
export function substitutedNode(node: GraphNode, by: Substitution): GraphNode {
  by.visit(node);
  const attributes = new Map<string, Attribute>();
  for (const [name, attribute] of node.attributes) {
    if (attribute.kind !== 'other') {
      attributes.set(name, attribute);
      continue;
    }
    const reference = referenceOf(attribute.bytes);
    if (reference === undefined) {
      attributes.set(name, { kind: 'other', bytes: substitutedBytes(attribute.bytes, by) });
      continue;
    }
    const value = by.attribute(reference);
    if (value !== undefined) attributes.set(name, renamed(name, value));
  }
  return {
    ...node,
    name: by.label(node.name),
    inputs: node.inputs.map((name) => by.tensor(name)),
    outputs: node.outputs.map((name) => by.tensor(name)),
    attributes,
  };
}
