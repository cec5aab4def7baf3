import type { ClipSpec } from '../codec/spec.ts';
import { elementNumber } from '../onnx/element-types.ts';
import type { Attribute, GraphNode, Initializer, Model, ValueInfo } from '../onnx/model.ts';
import { constantTensor } from '../onnx/values.ts';
import { newNode } from './tile-model-builder.ts';

/** Name of the model input or output that carries a tensor's quantised codes (uint8) in place of its values. */
export function codesTensor(tensor: string): string {
  return `tessera_codes/${tensor}`;
}

/**
 * Below this operator-set version quantisation is not in the default domain, and the runtime's own operators are used.
 */
const QUANTISING_OPSET = 10;
/** From this version on Clip's bounds are inputs. */
const CLIP_INPUTS_OPSET = 11;
const RUNTIME_DOMAIN = 'com.microsoft';

/**
 * A stage's model that reads and returns quantised codes in place of values. Quantising in the runtime costs 0.02 to
 * 0.07 ns a value, in JavaScript 1.6 ns (docs/decisions/0012-entropy-coder.md). Inputs get a DequantizeLinear (and an
 * Add where code 0 does not stand for 0). Outputs get Clip, Sub and QuantizeLinear, which rounds in float32, ties to
 * even: a value within a millionth of a step of the middle between two codes may become the other code. Tensors that
 * are neither inputs nor outputs of the model are ignored.
 */
export function withQuantisedIo(
  model: Model,
  inputs: ReadonlyMap<string, ClipSpec>,
  outputs: ReadonlyMap<string, ClipSpec>,
): Model {
  const { graph } = model;
  const opset = model.opsets.get('') ?? model.opsets.get('ai.onnx') ?? 1;
  const domain = opset < QUANTISING_OPSET ? RUNTIME_DOMAIN : '';
  const initializers = new Map(graph.initializers);
  const constant = (name: string, tensor: Initializer): string => {
    initializers.set(name, { ...tensor, name });
    return name;
  };
  const scalar = (name: string, value: number): string => constant(name, constantTensor('', 'float32', [], [value]));
  const scaling = (port: string, { a, b, bits }: ClipSpec): string[] => [
    scalar(`${port}/step`, (b - a) / (2 ** bits - 1)),
    constant(`${port}/zero`, constantTensor('', 'uint8', [], [0])),
  ];
  const heads: GraphNode[] = [];
  const tails: GraphNode[] = [];

  const takesCodes = (value: ValueInfo): ValueInfo => {
    const clip = inputs.get(value.name);
    if (clip === undefined) return value;
    const port = codesTensor(value.name);
    const base = clip.base ?? 0;
    const scaled = base === 0 ? value.name : `${port}/scaled`;
    heads.push(newNode('DequantizeLinear', [port, ...scaling(port, clip)], [scaled], {}, domain));
    if (base !== 0) heads.push(newNode('Add', [scaled, scalar(`${port}/base`, base)], [value.name]));
    return { ...value, name: port, dtype: 'uint8', elementType: elementNumber('uint8') };
  };
  const givesCodes = (value: ValueInfo): ValueInfo => {
    const clip = outputs.get(value.name);
    if (clip === undefined) return value;
    const port = codesTensor(value.name);
    const clipped = `${port}/clipped`;
    const bounds: Record<string, Attribute> =
      opset < CLIP_INPUTS_OPSET ? { min: { kind: 'float', value: clip.a }, max: { kind: 'float', value: clip.b } } : {};
    const given = opset < CLIP_INPUTS_OPSET ? [] : [scalar(`${port}/a`, clip.a), scalar(`${port}/b`, clip.b)];
    tails.push(newNode('Clip', [value.name, ...given], [clipped], bounds));
    let last = clipped;
    if (clip.a !== 0) {
      last = `${port}/shifted`;
      tails.push(newNode('Sub', [clipped, scalar(`${port}/low`, clip.a)], [last]));
    }
    tails.push(newNode('QuantizeLinear', [last, ...scaling(port, clip)], [port], {}, domain));
    return { ...value, name: port, dtype: 'uint8', elementType: elementNumber('uint8') };
  };

  const newInputs = graph.inputs.map(takesCodes);
  const newOutputs = graph.outputs.map(givesCodes);
  if (heads.length + tails.length === 0) return model;
  return {
    ...model,
    opsets: domain === '' ? model.opsets : new Map([...model.opsets, [RUNTIME_DOMAIN, 1]]),
    graph: {
      ...graph,
      nodes: [...heads, ...graph.nodes, ...tails],
      initializers,
      inputs: newInputs,
      outputs: newOutputs,
    },
  };
}
