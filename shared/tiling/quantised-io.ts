import type { ClipSpec } from '../codec/spec.ts';
import { elementNumber } from '../onnx/element-types.ts';
import type { Attribute, GraphNode, Initializer, Model, ValueInfo } from '../onnx/model.ts';
import { constantTensor } from '../onnx/values.ts';
import { newNode } from './tile-model-builder.ts';

/** The input or output of a stage's model that takes a tensor as codes (uint8), in place of its values. */
export function codesTensor(tensor: string): string {
  return `tessera_codes/${tensor}`;
}

/** Operators whose quantisation is not in the default domain before this version; the runtime then has its own. */
const QUANTISING_OPSET = 10;
/** Clip's bounds are inputs from here on. */
const CLIP_INPUTS_OPSET = 11;
const RUNTIME_DOMAIN = 'com.microsoft';

/**
 * Makes a stage's model take and give codes: quantising by the runtime costs 0.02 to 0.07 ns a value, in JavaScript 1.6
 * (docs/decisions/0012-entropy-coder.md). Inputs begin with DequantizeLinear (and an Add where code 0 is not 0); outputs
 * end with Clip, Sub and QuantizeLinear, which rounds in float32, ties to even: a value within a millionth of a step of
 * the middle between two codes may become the other one. Tensors that the model does not take or give are left out.
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
