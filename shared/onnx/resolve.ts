import { TesseraError } from '../errors.ts';
import { elementCount, type TensorSpec } from '../tensor/tensor.ts';
import { branchesOf, chosenBranch } from './branch.ts';
import { nodeMacs } from './cost.ts';
import { dtypeOf } from './element-types.ts';
import { FOLD_LIMIT, foldOutputs } from './folding/fold.ts';
import { withoutFunctions } from './function-proto.ts';
import { Inliner } from './inline.ts';
import { fixInputs, type InputShapes } from './input-shapes.ts';
import type { Graph, GraphNode, Initializer, Model, ResolvedModel, ValueInfo } from './model.ts';
import { tensorsReadBy } from './order.ts';
import { fields, MessageWriter } from './protobuf.ts';
import type { Operator } from './shapes/operator.ts';
import { inferOutputs } from './shapes/registry.ts';
import { valueInfo } from './value-info-proto.ts';
import { constantTensor, numbersOf } from './values.ts';

/** The oldest operator set with today's semantics (broadcasting without `axis`). */
const OLDEST_OPSET = 7;

/** Metadata key of a model whose operators are opaque to Tessera. */
const OPAQUE = 'tessera_opaque';

/** The model, marked as opaque: no output type is inferred, so the model can only run whole. */
export function asOpaque(model: Model): Model {
  return { ...model, metadata: new Map([...model.metadata, [OPAQUE, '1']]) };
}

/**
 * Value of a Constant node as an initializer; undefined for a sparse value and for one that refers to a function's
 * attribute.
 */
function constantOf(node: GraphNode, name: string): Initializer | undefined {
  const [key, value] = [...node.attributes][0] ?? [];
  if (value === undefined) return undefined;
  if (value.kind === 'tensor') return { ...value.value, name };
  if (value.kind === 'float') return constantTensor(name, 'float32', [], [value.value]);
  if (value.kind === 'floats') return constantTensor(name, 'float32', [value.value.length], value.value);
  if (value.kind === 'int') return constantTensor(name, 'int64', [], [value.value]);
  if (value.kind === 'ints') return constantTensor(name, 'int64', [value.value.length], value.value);
  if (value.kind === 'other' || key === undefined) return undefined;
  const strings = value.kind === 'string' ? [value.value] : value.value;
  const bytes = new MessageWriter();
  for (const item of strings) bytes.text(6, item);
  const dims = value.kind === 'string' ? [] : [strings.length];
  return { name, dtype: 'string', elementType: 8, dims, data: { kind: 'inline', bytes: bytes.finish() } };
}

function specOf(tensor: Initializer): TensorSpec | undefined {
  const dtype = dtypeOf(tensor.elementType);
  return dtype && { dtype, shape: tensor.dims };
}

/** Drops GraphProto's value_info (13): it describes the tensors from before the dimensions were fixed. */
function withoutValueInfo(unknown: Uint8Array): Uint8Array {
  const kept = new MessageWriter();
  for (const field of fields(unknown)) if (field.number !== 13) kept.encoded(field.encoded);
  return kept.finish();
}

/** Keeps only the nodes that the outputs depend on. `nodes` are in topological order. */
function pruned(nodes: readonly GraphNode[], outputs: readonly ValueInfo[]): { nodes: GraphNode[]; used: Set<string> } {
  const used = new Set(outputs.map((output) => output.name));
  const kept: GraphNode[] = [];
  for (const node of nodes.toReversed()) {
    if (!node.outputs.some((name) => used.has(name))) continue;
    kept.push(node);
    for (const name of tensorsReadBy(node)) used.add(name);
  }
  return { nodes: kept.reverse(), used };
}

/** Types and small constant values, collected node by node. */
class KnownTensors {
  readonly specs = new Map<string, TensorSpec>();
  readonly constants: Map<string, Initializer>;
  readonly branchMacs = new Map<string, number>();
  readonly #numbers = new Map<string, readonly number[] | undefined>();
  readonly #around: KnownTensors | undefined;

  /** `around` is what the graph around a subgraph knows. */
  constructor(initializers: ReadonlyMap<string, Initializer>, around?: KnownTensors) {
    this.#around = around;
    this.constants = new Map();
    for (const [name, tensor] of initializers) this.addConstant(name, tensor);
  }

  addConstant(name: string, tensor: Initializer): void {
    this.constants.set(name, tensor);
    const spec = specOf(tensor);
    if (spec !== undefined) this.specs.set(name, spec);
  }

  get(name: string): TensorSpec | undefined {
    return this.specs.get(name) ?? this.#around?.get(name);
  }

  numbers(name: string): readonly number[] | undefined {
    if (!this.specs.has(name)) return this.#around?.numbers(name);
    if (!this.#numbers.has(name)) {
      const tensor = this.constants.get(name);
      const isSmall = tensor !== undefined && elementCount(tensor.dims) <= FOLD_LIMIT;
      this.#numbers.set(name, isSmall ? numbersOf(tensor) : undefined);
    }
    return this.#numbers.get(name);
  }
}

function operator(node: GraphNode, opset: number, known: KnownTensors): Operator | undefined {
  const names = [...node.inputs];
  while (names.at(-1) === '') names.pop();
  if (!names.every((name) => name === '' || known.get(name) !== undefined)) return undefined;
  return {
    node,
    opset,
    inputs: names.map((name) => known.get(name)),
    constant: (index) => known.numbers(names[index] ?? ''),
  };
}

/**
 * Infers the types of an If's outputs: those on which both branches agree. An If with a branch that does not fit stays
 * unknown, since that one may never be chosen.
 */
function inferIf(node: GraphNode, opset: number, known: KnownTensors): void {
  try {
    const branches = branchesOf(node).map(({ nodes, initializers, outputs }) => {
      const inner = new KnownTensors(initializers, known);
      for (const each of nodes) inferNode(each, opset, inner);
      const sizes = { specs: inner, branchMacs: inner.branchMacs };
      return {
        made: node.outputs.map((_, i) => inner.get(outputs[i]?.name ?? '')),
        macs: nodes.reduce((sum, each) => sum + nodeMacs(sizes, each), 0),
      };
    });
    node.outputs.forEach((name, i) => {
      const [first, ...others] = branches.map(({ made }) => made[i]);
      const isSame = (spec: TensorSpec | undefined) =>
        spec?.dtype === first?.dtype && spec?.shape.join() === first?.shape.join();
      if (name !== '' && first !== undefined && others.every(isSame)) known.specs.set(name, first);
    });
    known.branchMacs.set(node.outputs[0] ?? '', Math.max(0, ...branches.map(({ macs }) => macs)));
  } catch (error) {
    if (!(error instanceof TesseraError)) throw error;
  }
}

/**
 * Infers the types and constant values of a node's outputs; true where all outputs are constant, so that the node need
 * not run.
 */
function inferNode(node: GraphNode, opset: number, known: KnownTensors): boolean {
  if (node.op === 'Constant' && node.domain === '' && node.outputs.length === 1) {
    const tensor = constantOf(node, node.outputs[0]!);
    if (tensor !== undefined) known.addConstant(tensor.name, tensor);
    return tensor !== undefined;
  }
  if (node.op === 'If' && node.domain === '') {
    inferIf(node, opset, known);
    return false;
  }
  const op = operator(node, opset, known);
  if (op === undefined) return false;
  const outputs = inferOutputs(op);
  node.outputs.forEach((name, i) => {
    const spec = outputs[i];
    if (name !== '' && spec !== undefined) known.specs.set(name, { dtype: spec.dtype, shape: spec.shape });
  });
  const values = foldOutputs(op, outputs);
  values?.forEach((numbers, i) => {
    const name = node.outputs[i]!;
    known.addConstant(name, constantTensor(name, outputs[i]!.dtype, outputs[i]!.shape, numbers));
  });
  return values !== undefined;
}

function opsetOf(opsets: ReadonlyMap<string, number>, node: GraphNode): number {
  const version = opsets.get(node.domain) ?? 1;
  if (node.domain !== '' || version >= OLDEST_OPSET) return version;
  throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', `The model uses version ${version} of ONNX's operators.`, {
    hint: `Version ${OLDEST_OPSET} is the oldest that runs: convert the file with onnx.version_converter.`,
  });
}

/**
 * Prepares a model for cutting. Fixes the input shapes; inlines local functions, and each If whose condition is
 * constant; folds Constant nodes and shape arithmetic into initializers; drops nodes that no output needs; infers the
 * type of every tensor. A symbolic or open first dimension becomes `batch` (default 1). A tensor is absent from `specs`
 * where it depends on an operator without a shape rule or on values that are unknown before a run; of an opaque model
 * (`asOpaque`) only inputs and constants have specs. Throws TESSERA_SHAPE for other open dimensions, naming them, and
 * for shapes that do not fit together; TESSERA_MODEL_UNSUPPORTED for operator sets before version 7;
 * TESSERA_MODEL_INVALID for functions that are damaged or recursive.
 */
export function resolveModel(
  model: Model,
  options: { readonly inputShapes?: InputShapes; readonly batch?: number } = {},
): ResolvedModel {
  const inputs = fixInputs(model.graph.inputs, options.inputShapes ?? {}, options.batch ?? 1);
  return model.metadata.has(OPAQUE) ? opaqueModel(model, inputs) : understoodModel(model, inputs);
}

/** An opaque model: the types of inputs and constants only. */
function opaqueModel(model: Model, inputs: readonly ValueInfo[]): ResolvedModel {
  const { specs } = new KnownTensors(model.graph.initializers);
  for (const { name, dtype, shape } of inputs)
    if (dtype !== 'other' && shape !== undefined) specs.set(name, { dtype, shape: shape as readonly number[] });
  const unknown = withoutValueInfo(model.graph.unknown);
  return { model: { ...model, graph: { ...model.graph, inputs, unknown } }, specs };
}

function understoodModel(model: Model, inputs: readonly ValueInfo[]): ResolvedModel {
  const known = new KnownTensors(model.graph.initializers);
  for (const { name, dtype, shape } of inputs) {
    if (dtype !== 'other' && shape !== undefined) known.specs.set(name, { dtype, shape: shape as readonly number[] });
  }
  const wanted = new Set(model.graph.outputs.map((output) => output.name));
  const running: GraphNode[] = [];
  const inliner = new Inliner(model);
  const taken = new Set([...inputs.map(({ name }) => name), ...model.graph.nodes.flatMap((node) => node.outputs)]);
  const isTaken = (name: string) => name !== '' && (taken.has(name) || known.constants.has(name));
  const visit = (node: GraphNode, within: readonly string[]): void => {
    const expansion = inliner.expand(node, within, isTaken);
    if (expansion !== undefined) {
      for (const inner of expansion.nodes) for (const name of inner.outputs) taken.add(name);
      for (const inner of expansion.nodes) visit(inner, expansion.within);
      return;
    }
    const condition = node.op === 'If' && node.domain === '' ? known.numbers(node.inputs[0] ?? '')?.[0] : undefined;
    const branch = condition === undefined ? undefined : chosenBranch(node, condition !== 0, isTaken);
    if (branch !== undefined) {
      for (const [name, tensor] of branch.initializers) known.addConstant(name, tensor);
      for (const inner of branch.nodes) for (const name of inner.outputs) taken.add(name);
      for (const inner of branch.nodes) visit(inner, within);
      return;
    }
    const isConstant = inferNode(node, opsetOf(inliner.opsets, node), known);
    if (!isConstant || node.outputs.some((name) => wanted.has(name))) running.push(node);
  };
  for (const node of model.graph.nodes) visit(node, []);
  const made = new Set(running.flatMap((node) => node.outputs));
  const { nodes, used } = pruned(running, model.graph.outputs);
  const initializers = new Map([...known.constants].filter(([name]) => used.has(name) && !made.has(name)));
  const alive = new Set([...used, ...inputs.map((input) => input.name), ...nodes.flatMap((node) => node.outputs)]);
  const specs = new Map([...known.specs].filter(([name]) => alive.has(name)));
  const outputs = model.graph.outputs.map((output) => {
    const spec = specs.get(output.name);
    return spec === undefined ? output : valueInfo(output.name, spec);
  });
  const graph: Graph = {
    ...model.graph,
    nodes,
    initializers,
    inputs,
    outputs,
    unknown: withoutValueInfo(model.graph.unknown),
  };
  // The bodies of If, Loop and Scan stay encoded and may call functions.
  const mayCall =
    inliner.leftCalls || nodes.some((node) => [...node.attributes.values()].some(({ kind }) => kind === 'other'));
  const unknown = mayCall ? model.unknown : withoutFunctions(model.unknown);
  return { model: { ...model, opsets: inliner.opsets, graph, unknown }, specs, branchMacs: known.branchMacs };
}
