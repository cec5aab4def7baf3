import { TesseraError } from '../errors.ts';
import { readAttribute } from './attribute-proto.ts';
import type { Attribute, GraphNode } from './model.ts';
import { topologicalOrder } from './order.ts';
import { embedded, fields, integer, MessageWriter, optionalText, text } from './protobuf.ts';
import { domainOf, readNode, readPair } from './read.ts';

/** Number of ModelProto's field `functions`. */
const FUNCTIONS = 25;

/**
 * A local function: an operator that the file defines by other operators. Its body sees only its inputs and attributes.
 */
export interface LocalFunction {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Values of attributes that a call leaves out. */
  readonly defaults: ReadonlyMap<string, Attribute>;
  /** The body in topological order. Its attributes may refer to the function's own (ref_attr_name). */
  readonly nodes: readonly GraphNode[];
  readonly opsets: ReadonlyMap<string, number>;
}

function key(domain: string, op: string, overload: string): string {
  return JSON.stringify([domain, op, overload]);
}

/** The key by which `readFunctions` lists the function that a node would call (NodeProto: overload 8). */
export function calledKey(node: GraphNode): string {
  let overload = '';
  for (const field of fields(node.unknown ?? new Uint8Array(0))) {
    if (field.number === 8) overload = optionalText(field) ?? '';
  }
  return key(node.domain, node.op, overload);
}

/**
 * FunctionProto: name 1, input 4, output 5, attribute 6 (names without a default, not read), node 7, opset_import 9,
 * domain 10, attribute_proto 11, overload 13.
 */
function readFunction(message: Uint8Array): [string, LocalFunction] {
  const inputs: string[] = [];
  const outputs: string[] = [];
  const defaults = new Map<string, Attribute>();
  const nodes: GraphNode[] = [];
  const opsets = new Map<string, number>();
  let name = '';
  let domain = '';
  let overload = '';
  for (const field of fields(message)) {
    if (field.number === 1) name = text(field);
    else if (field.number === 4) inputs.push(text(field));
    else if (field.number === 5) outputs.push(text(field));
    else if (field.number === 7) nodes.push(readNode(embedded(field)));
    else if (field.number === 9) {
      const [imported, version] = readPair(embedded(field), integer, 0);
      opsets.set(domainOf(imported), version);
    } else if (field.number === 10) domain = domainOf(text(field));
    else if (field.number === 11) {
      const read = readAttribute(embedded(field));
      defaults.set(read.name, read.attribute);
    } else if (field.number === 13) overload = text(field);
  }
  const known = new Set([...inputs, ...nodes.flatMap((node) => node.outputs)]);
  const lost = outputs.find((output) => !known.has(output));
  if (lost !== undefined) throw faulty(`Nothing makes the output "${lost}" of function "${name}".`);
  return [
    key(domain, name, overload),
    { name, inputs, outputs, defaults, nodes: topologicalOrder(nodes, new Set(inputs)), opsets },
  ];
}

function faulty(what: string): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', what, { hint: 'The file is damaged: fetch or export it again.' });
}

/**
 * The local functions in the encoded fields of a model (`Model.unknown`), by `calledKey`. Throws TESSERA_MODEL_INVALID
 * for a function that is damaged, incomplete, or defined twice.
 */
export function readFunctions(unknown: Uint8Array): ReadonlyMap<string, LocalFunction> {
  const functions = new Map<string, LocalFunction>();
  for (const field of fields(unknown)) {
    if (field.number !== FUNCTIONS) continue;
    const [name, read] = readFunction(embedded(field));
    if (functions.has(name)) throw faulty(`Function "${read.name}" is defined twice.`);
    functions.set(name, read);
  }
  return functions;
}

/** The encoded fields of a model without its functions. */
export function withoutFunctions(unknown: Uint8Array): Uint8Array {
  const kept = new MessageWriter();
  for (const field of fields(unknown)) if (field.number !== FUNCTIONS) kept.encoded(field.encoded);
  return kept.finish();
}
