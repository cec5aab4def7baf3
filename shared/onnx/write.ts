import { writeAttribute } from './attribute-proto.ts';
import type { Attribute, Graph, GraphNode, Model } from './model.ts';
import { MessageWriter } from './protobuf.ts';
import { writeTensor } from './tensor-proto.ts';
import { writeValueInfo } from './value-info-proto.ts';

/** The first IR version in which initializers need not be declared as inputs. */
const INITIALIZERS_ALONE = 4;

/** Encodes a NodeProto. */
export function writeNode(node: GraphNode): MessageWriter {
  const message = new MessageWriter();
  for (const input of node.inputs) message.text(1, input);
  for (const output of node.outputs) message.text(2, output);
  if (node.name !== '') message.text(3, node.name);
  message.text(4, node.op);
  for (const [name, attribute] of node.attributes) message.message(5, writeAttribute(name, attribute));
  if (node.domain !== '') message.text(7, node.domain);
  return node.unknown === undefined ? message : message.encoded(node.unknown);
}

function pair(key: string, value: string | number): MessageWriter {
  const message = new MessageWriter().text(1, key);
  return typeof value === 'number' ? message.varint(2, value) : message.text(2, value);
}

/** Encodes a GraphProto: node 1, name 2, initializer 5, input 11, output 12. */
function writeGraph(graph: Graph): MessageWriter {
  const message = new MessageWriter();
  for (const node of graph.nodes) message.message(1, writeNode(node));
  message.text(2, graph.name);
  for (const [name, tensor] of graph.initializers) {
    message.message(5, writeTensor(tensor.name === name ? tensor : { ...tensor, name }));
  }
  for (const input of graph.inputs) message.message(11, writeValueInfo(input));
  for (const output of graph.outputs) message.message(12, writeValueInfo(output));
  return message.encoded(graph.unknown);
}

/** The attribute `name` that holds a graph, such as a branch of an If (AttributeProto: name 1, g 6, type 20). */
export function graphAttribute(name: string, graph: Graph): Attribute {
  const message = new MessageWriter().text(1, name).message(6, writeGraph(graph)).varint(20, 5);
  return { kind: 'other', bytes: message.finish() };
}

/**
 * Encodes a model as an ONNX file; besides the model only the file's size is allocated. A model of IR version 1 to 3 is
 * written as version 4, in which initializers can be constants without being inputs. Throws TESSERA_MODEL_UNSUPPORTED
 * beyond 2 GB.
 */
export function writeModel(model: Model): Uint8Array {
  const file = new MessageWriter().varint(1, Math.max(model.irVersion, INITIALIZERS_ALONE));
  if (model.producer !== '') file.text(2, model.producer);
  file.message(7, writeGraph(model.graph));
  for (const [domain, version] of model.opsets) file.message(8, pair(domain, version));
  for (const [key, value] of model.metadata) file.message(14, pair(key, value));
  return file.encoded(model.unknown).finish();
}
