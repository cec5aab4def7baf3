import type { Dtype } from '../tensor/tensor.ts';

/**
 * An ONNX file in memory, immutable. Fields and attributes that Tessera does not interpret are kept encoded (`unknown`,
 * attribute kind `other`), so that reading and writing loses nothing. Field meanings: onnx.proto3 of ONNX 1.17.
 */
export interface Model {
  readonly irVersion: number;
  readonly producer: string;
  /** Version per operator-set domain; the default domain is ''. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly graph: Graph;
  /** Encoded fields of ModelProto that Tessera does not interpret (functions, training info, ...). */
  readonly unknown: Uint8Array;
}

/** A graph; its nodes are in topological order, as ONNX demands and `readModel` ensures. */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly GraphNode[];
  readonly initializers: ReadonlyMap<string, Initializer>;
  /** Inputs that must be fed; an input with an initializer of the same name is not among them. */
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly unknown: Uint8Array;
}

/**
 * One node of a graph: an operator with its inputs, outputs and attributes. An absent optional input or output is ''.
 */
export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  /** Encoded fields of NodeProto that Tessera does not interpret (overload, doc string, ...); absent where empty. */
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
  /** Subgraphs, sparse tensors and other kinds: the encoded AttributeProto. */
  | { readonly kind: 'other'; readonly bytes: Uint8Array };

/**
 * A constant tensor. Inline bytes are little endian, order C; for `string` they are the encoded string_data fields, for
 * types narrower than a byte they are packed as in raw_data. They may be a view of the file at any offset: copy them
 * before making a typed array.
 */
export interface Initializer {
  readonly name: string;
  readonly dtype: Dtype | 'string' | 'bfloat16' | 'other';
  /** ONNX's number of the element type, kept for writing. */
  readonly elementType: number;
  readonly dims: readonly number[];
  readonly data:
    | { readonly kind: 'inline'; readonly bytes: Uint8Array }
    | { readonly kind: 'external'; readonly location: string; readonly offset: number; readonly length: number };
}

/**
 * Name and type of a graph's input or output. `shape` is undefined where the file gives none. A symbolic dimension is
 * its name; an unknown dimension without a name is ''.
 */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: Dtype | 'other';
  readonly elementType: number;
  readonly shape: readonly (number | string)[] | undefined;
  /** The encoded TypeProto of anything but a dense tensor (sequence, map, optional), kept for writing. */
  readonly type?: Uint8Array;
}

/** A model whose tensor types were inferred, as far as that is possible before a run. */
export interface ResolvedModel {
  /**
   * The model with batch and symbolic dimensions fixed, functions inlined, and Constant nodes and shape arithmetic
   * folded into initializers.
   */
  readonly model: Model;
  /** Type by tensor name (inputs, initializers and node outputs); absent where it could not be inferred. */
  readonly specs: ReadonlyMap<string, { readonly dtype: Dtype; readonly shape: readonly number[] }>;
  /** Multiply-adds of the costlier branch of each If that a run decides, by its first output. */
  readonly branchMacs?: ReadonlyMap<string, number>;
}
