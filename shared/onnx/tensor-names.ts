import { MAX_TENSOR_NAME } from '../plan/limits.ts';
import type { GraphNode, Initializer, Model, ResolvedModel, ValueInfo } from './model.ts';
import { capturedTensors } from './order.ts';
import { substitutedNode } from './substitute.ts';

/** Prefix of the tensors that Tessera adds to a network. */
const OWN_PREFIX = 'tessera_';

/** Characters of a long name that its short form keeps, so that people recognise it. */
const KEPT = 40;

/** A network in which every tensor has a name that plans and messages can carry. */
export interface NamedNetwork {
  readonly resolved: ResolvedModel;
  readonly names: TensorNames;
}

/**
 * Maps tensor names between the user's file and plans and messages. Only names that are longer than plans allow, hold
 * control characters, or could be mistaken for Tessera's own differ between the two.
 */
export class TensorNames {
  readonly #inner: ReadonlyMap<string, string>;
  readonly #original: ReadonlyMap<string, string>;

  /** `inner`: the name in plans and messages, by the name in the user's file. */
  constructor(inner: ReadonlyMap<string, string> = new Map()) {
    this.#inner = inner;
    this.#original = new Map([...inner].map(([original, short]) => [short, original]));
  }

  /** Name in plans and messages of a tensor of the user's file. */
  inner(original: string): string {
    return this.#inner.get(original) ?? original;
  }

  /** Name in the user's file of a tensor of a plan. */
  original(inner: string): string {
    return this.#original.get(inner) ?? inner;
  }

  /** The names that differ, as `[in plans, in the file]`. */
  get pairs(): readonly (readonly [inner: string, original: string])[] {
    return [...this.#original];
  }
}

/**
 * Whether a name cannot be carried by plans, messages or the runtime's JavaScript binding, or could be mistaken for one
 * of Tessera's own.
 */
function isAwkward(name: string): boolean {
  return name.length > MAX_TENSOR_NAME || name === '__proto__' || name.startsWith(OWN_PREFIX) || /\p{Cc}/u.test(name);
}

function shortName(name: string, isTaken: (name: string) => boolean): string {
  const kept = name
    .replace(/[^A-Za-z0-9_./:-]+/g, '_')
    .replace(/^[_./:-]+/, '')
    .slice(0, KEPT);
  for (let count = 1; ; count++) {
    const short = `${kept}~${count}`;
    if (!isTaken(short)) return short;
  }
}

/**
 * The network with short names in place of those that plans and messages cannot carry, and the original names.
 * (Converters join names until they have thousands of characters.) A network without such names is returned as it is.
 */
export function withPlainNames(resolved: ResolvedModel): NamedNetwork {
  const { model, specs } = resolved;
  const { graph } = model;
  const all = new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.initializers.keys(),
    ...graph.nodes.flatMap(({ outputs }) => outputs),
  ]);
  const inner = new Map<string, string>();
  const taken = new Set(all);
  for (const name of all) {
    if (!isAwkward(name)) continue;
    const short = shortName(name, (candidate) => taken.has(candidate));
    taken.add(short);
    inner.set(name, short);
  }
  if (inner.size === 0) return { resolved, names: new TensorNames() };
  const renamed = (name: string): string => inner.get(name) ?? name;
  const port = (value: ValueInfo): ValueInfo => ({ ...value, name: renamed(value.name) });
  const constants = [...graph.initializers].map(([name, tensor]): [string, Initializer] => [
    renamed(name),
    { ...tensor, name: renamed(name) },
  ]);
  const renamedGraph = {
    ...graph,
    nodes: graph.nodes.map((node) => renamedNode(node, renamed)),
    initializers: new Map(constants),
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
  };
  const renamedModel: Model = { ...model, graph: renamedGraph };
  const renamedSpecs = new Map([...specs].map(([name, spec]) => [renamed(name), spec]));
  return { resolved: { model: renamedModel, specs: renamedSpecs }, names: new TensorNames(inner) };
}

function renamedNode(node: GraphNode, tensor: (name: string) => string): GraphNode {
  const isCaptured = capturedTensors(node).some((name) => tensor(name) !== name);
  // Subgraphs are re-encoded only where a name in them changes.
  if (isCaptured)
    return substitutedNode(node, { tensor, label: (name) => name, attribute: () => undefined, visit: () => {} });
  return { ...node, inputs: node.inputs.map(tensor), outputs: node.outputs.map(tensor) };
}
