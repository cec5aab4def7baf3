import { TesseraError } from '../errors.ts';
import { calledKey, type LocalFunction, readFunctions } from './function-proto.ts';
import type { GraphNode, Model } from './model.ts';
import { hasShapeRule } from './shapes/registry.ts';
import { substitutedNode } from './substitute.ts';

/** Functions call functions this deep at most: exporters nest them as modules are nested, ten deep or so. */
const MAXIMUM_DEPTH = 64;

/** Most nodes that calls may become, calls included; the largest published networks have a few thousand. */
const MAXIMUM_NODES = 20_000;

/** Most characters of names and bytes of attributes that may be written for them; tensors are not copied. */
const MAXIMUM_BYTES = 64 * 2 ** 20;

function hostile(what: string): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', what, { hint: 'The file is damaged or hostile.' });
}

function identity(from: string, to: string): GraphNode {
  return { name: `${to}/passed`, op: 'Identity', domain: '', inputs: [from], outputs: [to], attributes: new Map() };
}

/** Bytes that a copy of a node takes, roughly: its names and attributes, all but tensors. */
function sizeOf(node: GraphNode): number {
  let size = node.name.length + (node.unknown?.length ?? 0);
  for (const name of [...node.inputs, ...node.outputs]) size += 1 + name.length;
  for (const attribute of node.attributes.values()) {
    if (attribute.kind === 'other') size += attribute.bytes.length;
    else if (attribute.kind === 'strings') for (const item of attribute.value) size += 1 + item.length;
    else if (attribute.kind === 'ints' || attribute.kind === 'floats') size += 8 * attribute.value.length;
    else size += 8;
  }
  return size;
}

/** A function that stays a call, which the runtime expands itself. */
class StaysCall extends Error {}

/** A call as the nodes of the function's body, which may be calls too. */
export interface Expansion {
  readonly nodes: readonly GraphNode[];
  /** The functions whose bodies these nodes stand in, outermost first: what to pass on with them. */
  readonly within: readonly string[];
}

/**
 * Replaces calls of a model's local functions by their bodies (ModelProto.functions, IR version 8), so that nothing
 * after it has to know of functions. What ONNX Runtime takes for an operator of its own is no call, whatever functions
 * there are.
 *
 * State: the versions of operator sets that the nodes handed out rely on; how many nodes and bytes were handed out.
 * 1. What a call expands to reads only tensors that the call reads, and makes what the call makes; every other tensor of
 *    it has a name that no tensor had.
 * 2. All expansions of one model together are bounded, whatever the file says; recursion is refused.
 * 3. A call of a function that cannot stand among the model's nodes (it relies on another version of operators, or holds
 *    sparse constants) stays a call: the runtime expands it, and nobody knows what it makes.
 */
export class Inliner {
  /** Operator sets of the model, and of functions where the model does not name them. */
  readonly opsets: Map<string, number>;
  readonly #functions: ReadonlyMap<string, LocalFunction>;
  /** How often each prefix was tried, since calls may share a name. */
  readonly #tried = new Map<string, number>();
  /** Names of nodes: ONNX Runtime refuses two of one name, though functions may have them. */
  readonly #labels: Set<string>;
  #nodes = 0;
  #bytes = 0;
  #leftCalls = false;

  constructor(model: Model, functions = readFunctions(model.unknown)) {
    this.opsets = new Map(model.opsets);
    this.#functions = functions;
    this.#labels = new Set(functions.size === 0 ? [] : model.graph.nodes.map(({ name }) => name));
  }

  /** Whether some calls stayed what they are, so that the model needs its functions. */
  get leftCalls(): boolean {
    return this.#leftCalls;
  }

  /**
   * The body of the function that a node calls, or undefined where it calls none or stays a call. `within` comes from the expansion
   * that the node is from, empty for the graph's own. Throws TESSERA_MODEL_INVALID for a function that calls itself,
   * too many or too deep expansions and calls with more arguments than the function has.
   */
  expand(call: GraphNode, within: readonly string[], isTaken: (name: string) => boolean): Expansion | undefined {
    const key = this.#calledKey(call);
    if (key === undefined) return undefined;
    const body = this.#functions.get(key)!;
    if (within.includes(key)) throw hostile(`Function "${body.name}" calls itself, which ONNX does not allow.`);
    if (within.length >= MAXIMUM_DEPTH) throw hostile(`Functions call functions more than ${MAXIMUM_DEPTH} deep.`);
    if (call.inputs.length > body.inputs.length || call.outputs.length > body.outputs.length)
      throw hostile(`"${call.name || call.outputs[0]}" calls "${body.name}" with more arguments than it has.`);

    this.#spend(body.inputs.length + body.outputs.length);
    const bound = new Map(body.inputs.map((name, i) => [name, call.inputs[i] ?? ''] as const));
    const passed: (readonly [from: string, to: string])[] = [];
    body.outputs.forEach((name, i) => {
      const to = call.outputs[i] ?? '';
      if (to === '') return;
      if (bound.has(name)) passed.push([name, to]);
      else bound.set(name, to);
    });
    const prefix = this.#prefix(call, body, bound, isTaken);
    const tensor = (name: string) => (name === '' ? '' : (bound.get(name) ?? prefix + name));
    const by = {
      tensor,
      label: (name: string) => this.#label(name, prefix),
      attribute: (name: string) => call.attributes.get(name) ?? body.defaults.get(name),
      visit: (node: GraphNode) => this.#visit(node, body, prefix),
    };
    let nodes: GraphNode[];
    try {
      nodes = body.nodes.map((node) => substitutedNode(node, by));
    } catch (error) {
      const stays =
        error instanceof StaysCall || (error instanceof TesseraError && error.code === 'TESSERA_MODEL_UNSUPPORTED');
      if (!stays) throw error;
      this.#leftCalls = true;
      return undefined;
    }
    for (const [from, to] of passed) nodes.push(identity(tensor(from), to));
    return { nodes, within: [...within, key] };
  }

  #calledKey(node: GraphNode): string | undefined {
    if (this.#functions.size === 0 || node.domain === '' || hasShapeRule(node)) return undefined;
    const key = calledKey(node);
    return this.#functions.has(key) ? key : undefined;
  }

  /** A node that cannot have its name goes by its first output, as those without a name do. */
  #label(name: string, prefix: string): string {
    const label = prefix + name;
    if (name === '' || this.#labels.has(label)) return '';
    this.#labels.add(label);
    return label;
  }

  #spend(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > MAXIMUM_BYTES)
      throw hostile('The functions of the model become too large when they are inlined.');
  }

  /** Counts a node of an expansion, and takes over the operator set that it is from. */
  #visit(node: GraphNode, body: LocalFunction, prefix: string): void {
    this.#spend(sizeOf(node) + prefix.length * (1 + node.inputs.length + node.outputs.length));
    if (++this.#nodes > MAXIMUM_NODES) throw hostile(`The functions of the model become over ${MAXIMUM_NODES} nodes.`);
    if (this.#calledKey(node) !== undefined) return;
    const version = body.opsets.get(node.domain);
    const ours = this.opsets.get(node.domain);
    if (ours === undefined && version !== undefined) this.opsets.set(node.domain, version);
    if (ours === undefined || version === undefined || ours === version) return;
    throw new StaysCall();
  }

  /** What the names of a body begin with in this call: the call's own name, numbered where that is taken. */
  #prefix(
    call: GraphNode,
    body: LocalFunction,
    bound: ReadonlyMap<string, string>,
    isTaken: (name: string) => boolean,
  ): string {
    const base = call.name || call.outputs.find((name) => name !== '') || call.op;
    const own = body.nodes.flatMap((node) => node.outputs.filter((name) => name !== '' && !bound.has(name)));
    for (;;) {
      const count = (this.#tried.get(base) ?? 0) + 1;
      this.#tried.set(base, count);
      const prefix = count === 1 ? `${base}/` : `${base}~${count}/`;
      if (!own.some((name) => isTaken(prefix + name))) return prefix;
    }
  }
}
