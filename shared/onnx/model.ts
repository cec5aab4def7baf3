import type { Dtype } from '../tensor/tensor.ts';

/**
 * An ONNX file in memory, immutable. What Tessera does not understand is kept as the bytes it came in (`unknown`,
 * and attributes of kinds that are not listed), so that reading and writing loses nothing.
 * Field meanings: onnx.proto3 of ONNX 1.17.
 */
export interface Model {
  readonly irVersion: number;
  readonly producer: string;
  /** Version per operator-set domain; the default domain is ''. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly graph: Graph;
  /** Encoded fields of ModelProto that reading keeps as they are (functions, training info, ...). */
  readonly unknown: Uint8Array;
}

/** A graph; nodes are in topological order, as ONNX demands and `readModel` checks. */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  /** Inputs that have to be fed: those with an initializer of the same name are not among them. */
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly unknown: Uint8Array;
}

/** An operator. Absent optional inputs and outputs are ''. */
export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  /** Encoded fields of NodeProto that are not read (overload, doc string, ...); absent where there are none. */
  readonly unknown?: Uint8Array;
}

/** A node's attribute. */
export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'tensor'; readonly value: Initializer }
  /** Subgraphs, sparse tensors and the like: the encoded AttributeProto. */
  | { readonly kind: 'other'; readonly bytes: Uint8Array };

/**
 * A constant tensor. Inline bytes are little endian, order C (of `string`: the encoded string_data fields; of types
 * narrower than a byte: packed as in raw_data), and may be a view of the file at any offset: copy before making a
 * typed array of them.
 */
export interface Initializer {
  readonly name: string;
  readonly dtype: Dtype | 'string' | 'bfloat16' | 'other';
  /** ONNX's own number of the element type, kept for writing. */
  readonly elementType: number;
  readonly dims: readonly number[];
  readonly data:
    | { readonly kind: 'inline'; readonly bytes: Uint8Array }
    | { readonly kind: 'external'; readonly location: string; readonly offset: number; readonly length: number };
}

/**
 * Name and type of a graph's input or output. `shape` is undefined where the file gives none; a symbolic dimension is
 * its name, an unknown one without a name is ''.
 */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: Dtype | 'other';
  readonly elementType: number;
  readonly shape: readonly (number | string)[] | undefined;
  /** The encoded TypeProto of what is not a dense tensor (sequences, maps, optionals), kept for writing. */
  readonly type?: Uint8Array;
}

/** A graph of which every tensor's type is known, as far as it could be inferred. */
export interface ResolvedModel {
  /** Batch and symbolic dimensions fixed; functions inlined; shape arithmetic and Constant nodes are initializers. */
  readonly model: Model;
  /** Per tensor name (inputs, initializers and node outputs); absent where an operator is not understood. */
  readonly specs: ReadonlyMap<string, { readonly dtype: Dtype; readonly shape: readonly number[] }>;
}
