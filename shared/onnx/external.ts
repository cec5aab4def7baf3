import { TesseraError } from '../errors.ts';
import type { Initializer, Model } from './model.ts';
import { fields } from './protobuf.ts';

/** Messages of onnx.proto3 in which constant tensors can lie. */
type Kind = 'model' | 'function' | 'graph' | 'node' | 'attribute' | 'sparse' | 'tensor';

/** Fields of each message that lead to tensors. Of `model` and `graph` only fields that stay encoded are listed. */
const WITHIN: Readonly<Record<Kind, Readonly<Record<number, Kind>>>> = {
  model: { 25: 'function' },
  function: { 7: 'node', 11: 'attribute' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  node: { 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  tensor: {},
};

/** Whether an encoded tensor's data is in another file (TensorProto: data_location 14). */
function isExternal(tensor: Uint8Array): boolean {
  let external = false;
  for (const field of fields(tensor)) if (field.number === 14) external = field.varint === 1n;
  return external;
}

/** Whether an encoded message holds a tensor with external data, at any depth. */
function holdsExternal(message: Uint8Array, kind: Kind): boolean {
  const pending: [Uint8Array, Kind][] = [[message, kind]];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [bytes, of] = next;
    if (of === 'tensor' && isExternal(bytes)) return true;
    for (const field of fields(bytes)) {
      const inner = WITHIN[of][field.number];
      if (inner !== undefined && field.wire === 2) pending.push([field.payload, inner]);
    }
  }
  return false;
}

function refuse(where: string): never {
  throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `Constants inside ${where} lie in files beside the model.`, {
    hint: 'Put them into the file itself: onnx.save(onnx.load(path), path), or export without external data.',
  });
}

/**
 * The constants of a model whose data is in files beside it: initializers, and tensor attributes of nodes (named by the
 * node's first output). Throws TESSERA_MODEL_UNSUPPORTED where such tensors are in the bodies of If, Loop and Scan, in
 * local functions or in sparse tensors: those stay encoded, so their data could not be inlined.
 */
export function externalTensors(model: Model): Initializer[] {
  const { graph } = model;
  if (holdsExternal(model.unknown, 'model')) refuse('a local function');
  if (holdsExternal(graph.unknown, 'graph')) refuse('a sparse tensor');
  const found = [...graph.initializers.values()].filter(({ data }) => data.kind === 'external');
  for (const node of graph.nodes) {
    for (const attribute of node.attributes.values()) {
      if (attribute.kind === 'other' && holdsExternal(attribute.bytes, 'attribute'))
        refuse(`${node.op} "${node.name}"`);
      if (attribute.kind === 'tensor' && attribute.value.data.kind === 'external')
        found.push({ ...attribute.value, name: node.outputs[0] ?? node.name });
    }
  }
  return found;
}

/** The model with inline data: `inlined` loads each tensor that `externalTensors` lists. */
export async function withExternalTensors(
  model: Model,
  inlined: (tensor: Initializer) => Promise<Initializer>,
): Promise<Model> {
  if (externalTensors(model).length === 0) return model;
  const initializers = new Map(model.graph.initializers);
  for (const [name, tensor] of initializers)
    if (tensor.data.kind === 'external') initializers.set(name, await inlined(tensor));
  const nodes = [...model.graph.nodes];
  for (const [index, node] of nodes.entries()) {
    for (const [key, attribute] of node.attributes) {
      if (attribute.kind !== 'tensor' || attribute.value.data.kind !== 'external') continue;
      const { data } = await inlined({ ...attribute.value, name: node.outputs[0] ?? node.name });
      const attributes = new Map(nodes[index]!.attributes).set(key, {
        kind: 'tensor',
        value: { ...attribute.value, data },
      });
      nodes[index] = { ...nodes[index]!, attributes };
    }
  }
  return { ...model, graph: { ...model.graph, initializers, nodes } };
}
