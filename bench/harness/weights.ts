import { intAttribute } from '../../shared/onnx/attributes.ts';
import type { GraphNode, Initializer, Model } from '../../shared/onnx/model.ts';
import { numbersOf } from '../../shared/onnx/values.ts';
import { elementCount } from '../../shared/tensor/tensor.ts';
import { SeededValues } from './seeded-values.ts';

/** What a weight is for, which decides the values that keep signals alive through many layers. */
type Role =
  | { readonly kind: 'normal'; readonly deviation: number }
  | { readonly kind: 'constant'; readonly value: number };

const BIAS: Role = { kind: 'normal', deviation: 0.01 };
const ONES: Role = { kind: 'constant', value: 1 };
const ZEROS: Role = { kind: 'constant', value: 0 };
/** Scale, shift, mean and variance, by their place among the inputs. */
const BATCH_NORM_ROLES: readonly (Role | undefined)[] = [undefined, ONES, ZEROS, ZEROS, ONES];
/** Operators that pass a parameter on to the operator that uses it. */
const PASSING = new Set(['Unsqueeze', 'Squeeze', 'Reshape', 'Identity', 'Transpose', 'Cast']);

/** He et al. 2015, equation 10: variance 2 / fan-in keeps the variance of ReLU networks constant. */
function heNormal(fanIn: number): Role {
  return { kind: 'normal', deviation: Math.sqrt(2 / Math.max(1, fanIn)) };
}

function roleAt(node: GraphNode, index: number, dims: readonly number[]): Role | undefined {
  switch (node.op) {
    case 'Conv':
      return index === 1 ? heNormal(elementCount(dims.slice(1))) : BIAS;
    case 'ConvTranspose':
      return index === 1 ? heNormal(elementCount(dims) / Math.max(1, dims[1]! * intAttribute(node, 'group', 1))) : BIAS;
    case 'Gemm':
      return index === 1 ? heNormal(dims[intAttribute(node, 'transB', 0) === 1 ? 1 : 0]!) : BIAS;
    case 'MatMul':
      return heNormal(dims.at(-2) ?? 1);
    case 'BatchNormalization':
      return BATCH_NORM_ROLES[index];
    case 'Mul':
      return ONES;
    case 'Add':
    case 'Sum':
      return BIAS;
    default:
      return undefined;
  }
}

function drawn(name: string, dims: readonly number[], role: Role, stream: number, seeded: SeededValues) {
  const count = elementCount(dims);
  const values =
    role.kind === 'constant' ? new Float32Array(count).fill(role.value) : seeded.normal(count, stream, role.deviation);
  const bytes = new Uint8Array(values.buffer);
  return { name, dtype: 'float32', elementType: 1, dims, data: { kind: 'inline', bytes } } as const;
}

/** Whether a float tensor repeats one value. */
function isUniform({ data }: Initializer): boolean {
  return data.kind === 'inline' && data.bytes.every((byte, i, bytes) => i < 4 || byte === bytes[i - 4]);
}

/** Shapes of the float tensors that carry no information: ConstantOfShape's, and initializers of one value throughout. */
function blankWeights(model: Model): Map<string, readonly number[]> {
  const blank = new Map<string, readonly number[]>();
  const constants = new Map<string, Initializer>(model.graph.initializers);
  for (const tensor of constants.values()) {
    if (tensor.dtype !== 'float32' || elementCount(tensor.dims) < 2) continue;
    if (isUniform(tensor)) blank.set(tensor.name, tensor.dims);
  }
  for (const node of model.graph.nodes) {
    const value = node.attributes.get('value');
    if (node.op === 'Constant' && value?.kind === 'tensor') constants.set(node.outputs[0]!, value.value);
    if (node.op !== 'ConstantOfShape') continue;
    const shape = constants.get(node.inputs[0] ?? '');
    const dims = shape && numbersOf(shape);
    const isFloat = value === undefined || (value.kind === 'tensor' && value.value.dtype === 'float32');
    if (dims !== undefined && isFloat) blank.set(node.outputs[0]!, dims);
  }
  return blank;
}

/** Finds out what each blank weight is for, also behind operators that only reshape it. */
function rolesOf(model: Model, blank: ReadonlyMap<string, readonly number[]>): Map<string, Role> {
  const roles = new Map<string, Role>();
  const origin = new Map<string, string>([...blank.keys()].map((name) => [name, name]));
  for (const node of model.graph.nodes) {
    node.inputs.forEach((name, index) => {
      const source = origin.get(name);
      if (source === undefined) return;
      if (PASSING.has(node.op) && index === 0) origin.set(node.outputs[0]!, source);
      const role = roleAt(node, index, blank.get(source)!);
      if (role !== undefined && !roles.has(source)) roles.set(source, role);
    });
  }
  return roles;
}

/**
 * Gives a network whose weights are placeholders (made by ConstantOfShape, or one value throughout) seeded ones, so
 * that its outputs depend on its input: He-normal filters and matrices, small biases, batch normalisation that does
 * nothing (scale 1, shift 0, mean 0, variance 1). Weights that carry information stay. The same seed gives the same
 * bytes on every machine.
 */
export function seedWeights(model: Model, seed: number): Model {
  const blank = blankWeights(model);
  const roles = rolesOf(model, blank);
  const seeded = new SeededValues(seed);
  const initializers = new Map(model.graph.initializers);
  let stream = 1;
  for (const [name, role] of roles) initializers.set(name, drawn(name, blank.get(name)!, role, stream++, seeded));
  const nodes = model.graph.nodes.filter((node) => !(node.op === 'ConstantOfShape' && roles.has(node.outputs[0]!)));
  return { ...model, graph: { ...model.graph, nodes, initializers } };
}

/**
 * The model with outputs taken before a Softmax that makes them: seeded networks saturate it, so that a comparison
 * after it would see nothing. Other outputs stay.
 */
export function beforeSoftmax(model: Model): Model {
  const { graph } = model;
  const dropped = new Set<GraphNode>();
  const outputs = graph.outputs.map((output) => {
    const maker = graph.nodes.find((node) => node.outputs.includes(output.name));
    const isSoftmax = maker !== undefined && (maker.op === 'Softmax' || maker.op === 'LogSoftmax');
    const isRead = graph.nodes.some((node) => node.inputs.includes(output.name));
    if (!isSoftmax || isRead || graph.outputs.some((other) => other.name === maker.inputs[0])) return output;
    dropped.add(maker);
    return { ...output, name: maker.inputs[0]! };
  });
  return { ...model, graph: { ...graph, outputs, nodes: graph.nodes.filter((node) => !dropped.has(node)) } };
}
