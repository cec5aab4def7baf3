import { TesseraError } from '../errors.ts';
import { readAttribute } from './attribute-proto.ts';
import type { Attribute, Graph, GraphNode, Initializer, Model, ValueInfo } from './model.ts';
import { topologicalOrder } from './order.ts';
import { embedded, fields, integer, MessageWriter, text } from './protobuf.ts';
import { readTensor } from './tensor-proto.ts';
import { readValueInfo } from './value-info-proto.ts';

/** First bytes of files that are often mistaken for ONNX models. */
const LOOKALIKES: readonly (readonly [start: string, what: string])[] = [
  ['version https://git-lfs', 'a Git LFS pointer: fetch the file itself with `git lfs pull`'],
  ['<', 'a web page: the download went wrong'],
  ['{', 'JSON'],
  ['PK', 'a zip archive (PyTorch and Keras write those): export it to ONNX first'],
  ['\x89HDF', 'an HDF5 file (Keras writes those): convert it to ONNX first'],
  ['\x1f\x8b', 'compressed: unpack it first'],
];

function refuseLookalike(bytes: Uint8Array): void {
  const start = String.fromCharCode(...bytes.subarray(0, 32));
  const lookalike = LOOKALIKES.find(([prefix]) => start.startsWith(prefix));
  const what = bytes.length === 0 ? 'empty' : start.slice(4, 8) === 'TFL3' ? 'a TensorFlow Lite file' : lookalike?.[1];
  if (what === undefined) return;
  throw new TesseraError('TESSERA_MODEL_INVALID', `The file is not an ONNX model; it is ${what}.`, {
    hint: 'Tessera reads .onnx files.',
  });
}

function faulty(what: string): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', what, { hint: 'The file is damaged: fetch or export it again.' });
}

/** The canonical name of an operator-set domain: 'ai.onnx' is another name of the default domain. */
export function domainOf(name: string): string {
  return name === 'ai.onnx' ? '' : name;
}

/** Reads a message of two fields 1 and 2: OperatorSetId {domain, version} and StringStringEntry {key, value}. */
export function readPair<T>(
  message: Uint8Array,
  second: (field: Parameters<typeof text>[0]) => T,
  none: T,
): [string, T] {
  let key = '';
  let value = none;
  for (const field of fields(message)) {
    if (field.number === 1) key = text(field);
    else if (field.number === 2) value = second(field);
  }
  return [key, value];
}

/**
 * Reads a NodeProto: input 1, output 2, name 3, op_type 4, attribute 5, domain 7. Throws TESSERA_MODEL_INVALID where the
 * bytes are not one.
 */
export function readNode(message: Uint8Array): GraphNode {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes = new Map<string, Attribute>();
  const unknown = new MessageWriter();
  let isKnown = true;
  let name = '';
  let op = '';
  let domain = '';
  for (const field of fields(message)) {
    if (field.number === 1) inputs.push(text(field));
    else if (field.number === 2) outputs.push(text(field));
    else if (field.number === 3) name = text(field);
    else if (field.number === 4) op = text(field);
    else if (field.number === 5) {
      const read = readAttribute(embedded(field));
      attributes.set(read.name, read.attribute);
    } else if (field.number === 7) domain = domainOf(text(field));
    else {
      unknown.encoded(field.encoded);
      isKnown = false;
    }
  }
  if (op === '') throw faulty(`GraphNode "${name}" has no operator.`);
  return { name, op, domain, inputs, outputs, attributes, ...(isKnown ? {} : { unknown: unknown.finish() }) };
}

/** Name of a SparseTensorProto: values 1 {name 8}. */
function sparseName(message: Uint8Array): string {
  for (const field of fields(message)) {
    if (field.number !== 1) continue;
    for (const part of fields(embedded(field))) if (part.number === 8) return text(part);
  }
  return '';
}

/** Contents of a GraphProto before validation. */
export interface GraphParts {
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Names of sparse initializers; they stay encoded. */
  readonly sparse: readonly string[];
  readonly unknown: Uint8Array;
}

/**
 * Decodes a GraphProto: node 1, name 2, initializer 5, input 11, output 12; sparse_initializer 15 stays encoded. A
 * subgraph cannot be validated further, since it reads tensors of the enclosing graph.
 */
export function readGraphParts(message: Uint8Array): GraphParts {
  const nodes: GraphNode[] = [];
  const initializers = new Map<string, Initializer>();
  const inputs: ValueInfo[] = [];
  const outputs: ValueInfo[] = [];
  const sparse: string[] = [];
  const unknown = new MessageWriter();
  let name = '';
  for (const field of fields(message)) {
    if (field.number === 1) nodes.push(readNode(embedded(field)));
    else if (field.number === 2) name = text(field);
    else if (field.number === 5) {
      const tensor = readTensor(embedded(field));
      if (initializers.has(tensor.name)) throw faulty(`Constant tensor "${tensor.name}" is defined twice.`);
      initializers.set(tensor.name, tensor);
    } else if (field.number === 11) inputs.push(readValueInfo(embedded(field)));
    else if (field.number === 12) outputs.push(readValueInfo(embedded(field)));
    else {
      if (field.number === 15) sparse.push(sparseName(embedded(field)));
      unknown.encoded(field.encoded);
    }
  }
  return { name, nodes, initializers, inputs, outputs, sparse, unknown: unknown.finish() };
}

function readGraph(message: Uint8Array): Graph {
  const { name, nodes, initializers, inputs: declared, outputs, sparse, unknown } = readGraphParts(message);
  const inputs = declared.filter((input) => !initializers.has(input.name));
  const available = new Set<string>([...initializers.keys(), ...sparse]);
  for (const input of inputs) {
    if (available.has(input.name)) throw faulty(`Input "${input.name}" is declared twice.`);
    available.add(input.name);
  }
  const ordered = topologicalOrder(nodes, available);
  for (const node of nodes) for (const output of node.outputs) available.add(output);
  for (const output of outputs) {
    if (!available.has(output.name)) throw faulty(`Nothing makes the graph's output "${output.name}".`);
  }
  if (outputs.length === 0) throw faulty('The graph has no outputs.');
  return { name, nodes: ordered, initializers, inputs, outputs, unknown };
}

/**
 * Reads an ONNX file of up to 2 GB. Weights are views of `bytes`, which must not change afterwards. An input with an
 * initializer of the same name (a default that could be overridden) becomes a constant. ModelProto: ir_version 1,
 * producer_name 2, graph 7, opset_import 8, metadata_props 14. Throws TESSERA_MODEL_INVALID where the file is no ONNX
 * model, is damaged, cyclic, incomplete or ambiguous, or has external data outside its folder.
 */
export function readModel(bytes: Uint8Array): Model {
  refuseLookalike(bytes);
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  const unknown = new MessageWriter();
  let irVersion = 0;
  let producer = '';
  let graph: Uint8Array | undefined;
  for (const field of fields(bytes)) {
    if (field.number === 1) irVersion = integer(field);
    else if (field.number === 2) producer = text(field);
    else if (field.number === 7) {
      if (graph !== undefined) throw faulty('The file holds two graphs.');
      graph = embedded(field);
    } else if (field.number === 8) {
      const [domain, version] = readPair(embedded(field), integer, 0);
      opsets.set(domainOf(domain), version);
    } else if (field.number === 14) metadata.set(...readPair(embedded(field), text, ''));
    else unknown.encoded(field.encoded);
  }
  if (graph === undefined) throw faulty('The file is not an ONNX model: it holds no graph.');
  return { irVersion, producer, opsets, metadata, graph: readGraph(graph), unknown: unknown.finish() };
}
