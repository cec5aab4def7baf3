import { TesseraError } from '../errors.ts';
import { calledKey, type LocalFunction, readFunctions } from './function-proto.ts';
import type { GraphNode, Model } from './model.ts';
import { hasShapeRule } from './shapes/registry.ts';
import { substitutedNode } from './substitute.ts';

/** Deepest nesting of function calls. Exporters nest them as modules are nested, about ten deep. */
const MAXIMUM_DEPTH = 64;

/**
 * Most nodes that the inlined calls of one model may become, nested calls counted. The largest published networks have
 * a few thousand.
 */
const MAXIMUM_NODES = 20_000;

/** Most characters of names and bytes of attributes in those nodes; tensors are not copied. */
const MAXIMUM_BYTES = 64 * 2 ** 20;

function hostile(what: string): TesseraError {
  return new TesseraError('TESSERA_MODEL_INVALID', what, { hint: 'The file is damaged or hostile.' });
}

function identity(from: string, to: string): GraphNode {
  return { name: `${to}/passed`, op: 'Identity', domain: '', inputs: [from], outputs: [to], attributes: new Map() };
}

/** Approximate bytes of a copied node: names and attributes, but not tensors. */
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

/** Thrown for a function that cannot be inlined; its call stays, and the runtime expands it. */
class StaysCall extends Error {}

/** The nodes of a called function's body, which may contain calls themselves. */
export interface Expansion {
  readonly nodes: readonly GraphNode[];
  /** The functions that these nodes are nested in, outermost first; pass it on when expanding them. */
  readonly within: readonly string[];
}

/**
 * Inlines the local functions of a model (ModelProto.functions, IR version 8), so that later steps need not know of
 * functions. An operator that ONNX Runtime implements itself is never expanded, even where the file defines a function
 * of the same name.
 *
 * State: the operator-set versions that the expanded nodes rely on; the number of nodes and bytes expanded so far.
 * 1. An expansion reads only tensors that the call reads, and makes those that the call makes; every other tensor of it
 * gets a new name.
 * 2. The expansions of one model are bounded together, whatever the file says; recursion is refused.
 * 3. A function that cannot be inlined (it relies on another version of the operators, or holds sparse constants) stays
 * a call: the runtime expands it, and the types of its outputs are unknown.
 */
export class Inliner {
  /** Operator sets of the model, and those of functions where the model does not name them. */
  readonly opsets: Map<string, number>;
  readonly #functions: ReadonlyMap<string, LocalFunction>;
  /** Uses of each name prefix; several calls may share a name. */
  readonly #tried = new Map<string, number>();
  /** Node names in use: ONNX Runtime refuses two nodes of one name, but two function bodies may share one. */
  readonly #labels: Set<string>;
  #nodes = 0;
  #bytes = 0;
  #leftCalls = false;

  constructor(model: Model, functions = readFunctions(model.unknown)) {
    this.opsets = new Map(model.opsets);
    this.#functions = functions;
    this.#labels = new Set(functions.size === 0 ? [] : model.graph.nodes.map(({ name }) => name));
  }

  /** Whether some calls were not inlined, so that the model still needs its functions. */
  get leftCalls(): boolean {
    return this.#leftCalls;
  }

  /**
   * The body of the function that a node calls, or undefined where the node is no call or its function cannot be
   * inlined. `within` is that of the expansion that the node comes from; empty for the graph's own nodes. Throws
   * TESSERA_MODEL_INVALID for recursion, for expansions that are too many or too deep, and for a call with more
   * arguments than the function has.
   */
  expand(call: GraphNode, within: readonly string[], isTaken: (name: string) => boolean): Expansion | undefined {
    const key = this.#calledKey(call);
    if (key === undefined) return undefined;
    const body = this.#functions.get(key)!;
    if (within.includes(key)) throw hostile(`Function "${body.name}" calls itself, which ONNX does not allow.`);
    if (within.length >= MAXIMUM_DEPTH) throw hostile(`Function calls are nested more than ${MAXIMUM_DEPTH} deep.`);
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

  /** A node's name in the expansion; its first output where the name is taken or missing. */
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

  /** Counts an expanded node, and adds its operator set to those of the model. */
  #visit(node: GraphNode, body: LocalFunction, prefix: string): void {
    this.#spend(sizeOf(node) + prefix.length * (1 + node.inputs.length + node.outputs.length));
    if (++this.#nodes > MAXIMUM_NODES)
      throw hostile(`The functions of the model become more than ${MAXIMUM_NODES} nodes when they are inlined.`);
    if (this.#calledKey(node) !== undefined) return;
    const version = body.opsets.get(node.domain);
    const ours = this.opsets.get(node.domain);
    if (ours === undefined && version !== undefined) this.opsets.set(node.domain, version);
    if (ours === undefined || version === undefined || ours === version) return;
    throw new StaysCall();
  }

  /** Prefix of the names of one call's body: the call's own name, with a number where that is taken. */
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
