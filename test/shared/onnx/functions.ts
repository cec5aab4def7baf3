import { writeAttribute } from '../../../shared/onnx/attribute-proto.ts';
import type { Attribute, GraphNode, Model } from '../../../shared/onnx/model.ts';
import { MessageWriter } from '../../../shared/onnx/protobuf.ts';
import { graphAttribute, writeNode } from '../../../shared/onnx/write.ts';
import { sketch } from './build.ts';

/** The domain of the functions that tests make. */
export const DOMAIN = 'test.functions';

/** A function of a test's model. */
export interface FunctionSketch {
  readonly name: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly GraphNode[];
  readonly attributes?: readonly string[];
  readonly defaults?: Readonly<Record<string, Attribute>>;
  readonly opsets?: Readonly<Record<string, number>>;
  readonly overload?: string;
}

/** FunctionProto: name 1, input 4, output 5, attribute 6, node 7, opset_import 9, domain 10, attribute_proto 11, overload 13. */
function writeFunction(sketched: FunctionSketch): MessageWriter {
  const { name, inputs, outputs, nodes, attributes = [], defaults = {}, opsets = { '': 13 }, overload } = sketched;
  const message = new MessageWriter().text(1, name);
  for (const each of inputs) message.text(4, each);
  for (const each of outputs) message.text(5, each);
  for (const each of attributes) message.text(6, each);
  for (const each of nodes) message.message(7, writeNode(each));
  for (const [domain, version] of Object.entries(opsets))
    message.message(9, new MessageWriter().text(1, domain).varint(2, version));
  message.text(10, DOMAIN);
  for (const [key, value] of Object.entries(defaults)) message.message(11, writeAttribute(key, value));
  return overload === undefined ? message : message.text(13, overload);
}

/** A model with local functions, as a file holds it. */
export function withFunctions(model: Model, functions: readonly FunctionSketch[]): Model {
  const unknown = new MessageWriter();
  for (const each of functions) unknown.message(25, writeFunction(each));
  return { ...model, opsets: new Map([...model.opsets, [DOMAIN, 1]]), unknown: unknown.finish() };
}

/** The same node as a call of a function. */
export function call(node: GraphNode, overload?: string): GraphNode {
  const unknown = overload === undefined ? {} : { unknown: new MessageWriter().text(8, overload).finish() };
  return { ...node, domain: DOMAIN, ...unknown };
}

/** An attribute of a function's node that stands for the function's attribute `target`. */
export function reference(name: string, target: string, type: number): Attribute {
  return { kind: 'other', bytes: new MessageWriter().text(1, name).text(21, target).varint(20, type).finish() };
}

/** A graph attribute of the name that makes `outputs` and reads what is around it. */
export function body(name: string, nodes: readonly GraphNode[], outputs: readonly string[]): Attribute {
  return graphAttribute(name, sketch({ nodes, inputs: {}, outputs }).graph);
}
