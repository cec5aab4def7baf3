import { elementNumber } from '../../../shared/onnx/element-types.ts';
import type { Attribute, GraphNode, Initializer, Model } from '../../../shared/onnx/model.ts';
import { newModel } from '../../../shared/onnx/new-model.ts';
import { constantTensor } from '../../../shared/onnx/values.ts';
import type { Dtype } from '../../../shared/tensor/tensor.ts';

/** Whole numbers become int attributes, strings string attributes; `floats` and `float` say so. */
export type PlainAttribute = number | string | readonly number[] | Attribute;

function attribute(value: PlainAttribute): Attribute {
  if (typeof value === 'number') return { kind: 'int', value };
  if (typeof value === 'string') return { kind: 'string', value };
  return 'kind' in value ? value : { kind: 'ints', value };
}

/** An attribute that holds a fraction. */
export function float(value: number): Attribute {
  return { kind: 'float', value };
}

/** A node of the default domain, named by its first output. */
export function node(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, PlainAttribute>> = {},
): GraphNode {
  const entries = Object.entries(attributes).map(([name, value]) => [name, attribute(value)] as const);
  return { name: outputs[0] ?? '', op, domain: '', inputs, outputs, attributes: new Map(entries) };
}

/** An int64 vector. */
export function ints(name: string, values: readonly number[]): Initializer {
  return constantTensor(name, 'int64', [values.length], values);
}

/** A float32 tensor with values between -1 and 1 that depend on the position alone. */
export function weights(name: string, dims: readonly number[]): Initializer {
  const count = dims.reduce((product, size) => product * size, 1);
  const values = Array.from({ length: count }, (_, i) => Math.sin(1 + i * 1.7));
  return constantTensor(name, 'float32', dims, values);
}

/** What a test says of a model; shapes of inputs may be symbolic. */
export interface ModelSketch {
  readonly nodes: readonly GraphNode[];
  readonly inputs: Readonly<Record<string, readonly (number | string)[] | undefined>>;
  readonly outputs: readonly string[];
  readonly constants?: readonly Initializer[];
  readonly opset?: number;
  readonly dtype?: Dtype;
}

/** A model as a file would hold it, before shapes are known. */
export function sketch({ nodes, inputs, outputs, constants = [], opset = 13, dtype = 'float32' }: ModelSketch): Model {
  return newModel({
    producer: 'test',
    opset,
    name: 'test',
    nodes,
    initializers: new Map(constants.map((tensor) => [tensor.name, tensor])),
    inputs: Object.entries(inputs).map(([name, shape]) => ({ name, dtype, elementType: elementNumber(dtype), shape })),
    outputs: outputs.map((name) => ({ name, dtype: 'other', elementType: 0, shape: undefined })),
  });
}
