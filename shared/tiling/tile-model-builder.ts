import { elementNumber } from '../onnx/element-types.ts';
import type { Attribute, GraphNode, Initializer, Model, ValueInfo } from '../onnx/model.ts';
import { tensorsReadBy } from '../onnx/order.ts';
import { constantTensor } from '../onnx/values.ts';
import type { Dtype } from '../tensor/tensor.ts';
import type { Feed } from './form.ts';
import type { Layout } from './layout.ts';
import { PADDED_SINCE } from './padded-types.ts';
import type { Segment } from './segment.ts';

/** Name of the input that takes all integers of a tile's geometry: int64, concatenated. */
export const GEOMETRY = 'tessera_geometry';

/** Makes a node without a name (names of nodes have to differ). */
export function newNode(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  domain = '',
): GraphNode {
  return { name: '', op, domain, inputs, outputs, attributes: new Map(Object.entries(attributes)) };
}

/**
 * Builds the model of a stage's tiles: nodes in order, constants, and the inputs that carry a tile's geometry.
 * `geometry` allocates parts of the geometry vector, in the order in which each tile feeds them.
 */
export class TileModelBuilder {
  readonly #segment: Segment;
  readonly #nodes: GraphNode[] = [];
  readonly #added = new Map<string, Initializer>();
  readonly #slots: { readonly name: string; readonly width: number }[] = [];
  readonly #feeds: ValueInfo[] = [];
  readonly #taken: Set<string>;
  #count = 0;
  #usesContrib = false;

  constructor(segment: Segment) {
    this.#segment = segment;
    this.#taken = new Set([...segment.nodes.flatMap(({ node }) => node.outputs), ...segment.inputs]);
    for (const name of segment.resolved.model.graph.initializers.keys()) this.#taken.add(name);
  }

  get opset(): number {
    const { opsets } = this.#segment.resolved.model;
    return opsets.get('') ?? opsets.get('ai.onnx') ?? 1;
  }

  /** A tensor name that is not in use. */
  fresh(what: string): string {
    for (;;) {
      const name = `tessera_${what}_${this.#count++}`;
      if (!this.#taken.has(name)) return name;
    }
  }

  add(node: GraphNode): void {
    this.#nodes.push(node);
  }

  constant(tensor: Initializer): string {
    const name = this.fresh(tensor.name);
    this.#added.set(name, { ...tensor, name });
    return name;
  }

  /** A vector of `width` integers that each tile feeds. */
  geometry(width: number): string {
    const name = this.fresh('geometry');
    this.#slots.push({ name, width });
    return name;
  }

  /** An input that varies along one axis only, `[1, .., size, .., 1]`; each tile feeds its values. */
  vector(rank: number, dim: number, dtype: 'float32' | 'float64'): string {
    return this.#feed(
      'count',
      dtype,
      Array.from({ length: rank }, (_, i) => (i === dim ? 'size' : 1)),
    );
  }

  /** Selects cells along an axis by positions that each tile feeds; returns the name of that int64 input. */
  gather(input: string, output: string, dim: number): string {
    const indices = this.#feed('source', 'int64', ['size']);
    this.add(newNode('Gather', [input, indices], [output], { axis: { kind: 'int', value: dim } }));
    return indices;
  }

  /**
   * Multiplies by a float32 matrix that each tile feeds: `[given, made]` from the right, which acts on the last axis,
   * or `[made, given]` from the left, which acts on the last but one. Returns the name of the matrix.
   */
  multiply(input: string, output: string, side: 'left' | 'right'): string {
    const matrix = this.#feed('matrix', 'float32', ['rows', 'cols']);
    this.add(newNode('MatMul', side === 'left' ? [matrix, input] : [input, matrix], [output]));
    return matrix;
  }

  #feed(what: string, dtype: Feed['dtype'], sizes: readonly (number | string)[]): string {
    const name = this.fresh(what);
    const shape = sizes.map((size) => (typeof size === 'string' ? `${name}_${size}` : size));
    this.#feeds.push({ name, dtype, elementType: elementNumber(dtype), shape });
    return name;
  }

  /**
   * Pads (positive numbers) and crops (negative ones) by run-time values, all in one Pad. Before version 11 the
   * runtime's own Pad of the same form is used. It knows float32 only, so the rules refuse tensors that float32 would
   * round.
   */
  pad(input: string, output: string, pads: string, dtype: Dtype, fill: number): void {
    const old = this.opset < 11;
    const castless = this.opset >= (PADDED_SINCE[dtype] ?? Number.POSITIVE_INFINITY);
    const data = castless ? input : this.cast(input, 'float32');
    const padded = castless ? output : this.fresh('padded');
    const inputs = [data, pads];
    if (fill !== 0)
      inputs.push(this.constant(constantTensor('fill', castless ? dtype : 'float32', old ? [1] : [], [fill])));
    this.#usesContrib ||= old;
    this.add(newNode('Pad', inputs, [padded], {}, old ? 'com.microsoft' : ''));
    if (!castless) this.cast(padded, dtype, output);
  }

  /** Quantises and dequantises a tensor again, with the parameters of the DequantizeLinear that made it. */
  requantize(input: string, output: string, { inputs, attributes, domain }: GraphNode): void {
    const codes = this.fresh('codes');
    const parameters = inputs.slice(1);
    const axis = attributes.get('axis');
    this.add(newNode('QuantizeLinear', [input, ...parameters], [codes], axis === undefined ? {} : { axis }, domain));
    this.add({ ...newNode('DequantizeLinear', [codes, ...parameters], [output], {}, domain), attributes });
  }

  /**
   * Casts a tensor. The name is the one that the runtime gives to its own casts, which it may remove again: so float16
   * between two operators that compute in float32 is rounded as little as in the whole network.
   */
  cast(input: string, dtype: Dtype, output = this.fresh('cast')): string {
    const node = newNode('Cast', [input], [output], { to: { kind: 'int', value: elementNumber(dtype) } });
    this.add({ ...node, name: `InsertedPrecisionFreeCast_${output}` });
    return output;
  }

  /** Returns the model; its rows and columns are symbolic, so that one session runs every tile. */
  finish(): Model {
    const { model } = this.#segment.resolved;
    const nodes = [...this.#slicedGeometry(), ...this.#needed()];
    const initializers = new Map<string, Initializer>();
    const read = new Set<string>();
    for (const node of nodes)
      for (const name of tensorsReadBy(node)) {
        read.add(name);
        const constant = this.#added.get(name) ?? model.graph.initializers.get(name);
        if (constant !== undefined) initializers.set(name, constant);
      }
    const total = this.#slots.reduce((sum, slot) => sum + slot.width, 0);
    const geometry: ValueInfo[] =
      total === 0 ? [] : [{ name: GEOMETRY, dtype: 'int64', elementType: elementNumber('int64'), shape: [total] }];
    const inputs = this.#segment.inputs.flatMap((name, i) => (read.has(name) ? [this.#symbolic(name, `in${i}`)] : []));
    return {
      ...model,
      opsets: this.#usesContrib ? new Map([...model.opsets, ['com.microsoft', 1]]) : model.opsets,
      graph: {
        ...model.graph,
        nodes,
        initializers,
        inputs: [...inputs, ...geometry, ...this.#feeds],
        outputs: this.#segment.outputs.map((name, i) => this.#symbolic(name, `out${i}`)),
      },
    };
  }

  /** The nodes that an output depends on; unread nodes would keep the runtime from fusing their neighbours. */
  #needed(): GraphNode[] {
    const read = new Set(this.#segment.outputs);
    const kept = this.#nodes.toReversed().filter((node) => {
      if (!node.outputs.some((output) => read.has(output))) return false;
      for (const name of tensorsReadBy(node)) read.add(name);
      return true;
    });
    return kept.reverse();
  }

  #slicedGeometry(): GraphNode[] {
    const names = this.#slots.map((slot) => slot.name);
    if (names.length === 0) return [];
    if (names.length === 1) return [newNode('Identity', [GEOMETRY], names)];
    // One Split costs less than a Slice per user or an input per user (measured: 140, 153 and 202 us for 40 users).
    const widths = this.#slots.map((slot) => slot.width);
    const axis = { kind: 'int', value: 0 } as const;
    if (this.opset < 13) return [newNode('Split', [GEOMETRY], names, { axis, split: { kind: 'ints', value: widths } })];
    const sizes = this.constant(constantTensor('widths', 'int64', [widths.length], widths));
    return [newNode('Split', [GEOMETRY, sizes], names, { axis })];
  }

  #symbolic(name: string, prefix: string): ValueInfo {
    const { specs } = this.#segment.resolved;
    const { dtype, shape } = specs.get(name)!;
    const layout = this.#segment.layouts.get(name);
    return { name, dtype, elementType: elementNumber(dtype), shape: symbolicShape(shape, layout, prefix) };
  }
}

function symbolicShape(shape: readonly number[], layout: Layout | undefined, prefix: string): (number | string)[] {
  return shape.map((size, dim) => {
    if (layout === undefined || size === 1) return size;
    return dim === layout.h ? `${prefix}_h` : dim === layout.w ? `${prefix}_w` : size;
  });
}
