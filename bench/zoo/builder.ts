import type { Attribute, Graph, GraphNode, Initializer, Model } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { constantTensor } from '../../shared/onnx/values.ts';
import { graphAttribute } from '../../shared/onnx/write.ts';
import { elementCount } from '../../shared/tensor/tensor.ts';
import { SeededValues } from '../harness/seeded-values.ts';

/** A tensor of the network that is being built. */
export interface Value {
  readonly name: string;
  /** `[n, c, h, w]`, `[n, c, w]` or `[n, c]`. */
  readonly shape: readonly number[];
  /** Whether it was rectified: half of its second moment is gone (He et al. 2015, equation 10). */
  readonly isRectified?: boolean;
}

/** How many channels a layer makes: as many as at full width, which `width` scales, or exactly so many. */
export type Channels = number | { readonly exactly: number };

/** The window of a convolution or pool. */
export interface Window {
  /** On every axis; default 1. */
  readonly stride?: number;
  /** Cells around the map on every side; default as TensorFlow's `SAME`. */
  readonly pads?: number;
}

/** What a convolution has beside its window. */
export interface ConvOptions extends Window {
  readonly group?: number;
  readonly bias?: boolean;
  /** Factor of the weights' deviation; residual branches have less than 1, so that sums do not grow with the depth. */
  readonly gain?: number;
}

/** The attribute in plain form: whole numbers and lists of them are integers. */
type PlainAttribute = number | string | readonly number[] | Attribute;

function attributeOf(value: PlainAttribute): Attribute {
  if (typeof value === 'number') return { kind: 'int', value };
  if (typeof value === 'string') return { kind: 'string', value };
  return 'kind' in value ? value : { kind: 'ints', value };
}

const float = (value: number): Attribute => ({ kind: 'float', value });

/** As many channels as a tensor has. */
export function likeChannels(value: Value): Channels {
  return { exactly: value.shape[1]! };
}

/** Builds the graph of one network, with seeded weights that are made when they are first read. */
export class NetworkBuilder {
  readonly #name: string;
  readonly #width: number;
  readonly #values: SeededValues;
  readonly #initializers = new Map<string, Initializer>();
  readonly #input: Value;
  #nodes: GraphNode[] = [];
  #count = 0;

  /** `width` scales the channels of every layer; 1 is the network as published. */
  constructor(name: string, input: readonly number[], { width = 1, seed = 1 }: { width?: number; seed?: number } = {}) {
    this.#name = name;
    this.#width = width;
    this.#values = new SeededValues(seed);
    this.#input = { name: 'input', shape: input };
  }

  /** The frame. */
  get input(): Value {
    return this.#input;
  }

  /** The network that makes `outputs`. */
  model(outputs: readonly Value[]): Model {
    const { name, shape } = this.#input;
    return newModel({
      producer: 'tessera-zoo',
      ...this.#graph(this.#name, outputs),
      initializers: this.#initializers,
      inputs: [valueInfo(name, { dtype: 'float32', shape })],
    });
  }

  #graph(name: string, outputs: readonly Value[]): Omit<Graph, 'unknown'> {
    return {
      name,
      nodes: this.#nodes,
      initializers: new Map(),
      inputs: [],
      outputs: outputs.map((output) => valueInfo(output.name, { dtype: 'float32', shape: output.shape })),
    };
  }

  /** Channels after scaling: even, so that halves of them are whole. */
  channels(channels: Channels): number {
    if (typeof channels !== 'number') return channels.exactly;
    return this.#width === 1 ? channels : Math.max(2, 2 * Math.round((channels * this.#width) / 2));
  }

  /** Adds a node; its output has the shape given. */
  op(
    op: string,
    inputs: readonly (Value | string)[],
    shape: readonly number[],
    attributes: Readonly<Record<string, PlainAttribute>> = {},
  ): Value {
    const name = `${op.toLowerCase()}_${++this.#count}`;
    this.#nodes.push({
      name,
      op,
      domain: '',
      inputs: inputs.map((input) => (typeof input === 'string' ? input : input.name)),
      outputs: [name],
      attributes: new Map(Object.entries(attributes).map(([key, value]) => [key, attributeOf(value)])),
    });
    return { name, shape };
  }

  /** A constant of a few numbers. */
  constant(dtype: 'float32' | 'int64', dims: readonly number[], values: readonly number[]): string {
    const name = `constant_${++this.#count}`;
    this.#initializers.set(name, constantTensor(name, dtype, dims, values));
    return name;
  }

  /** A float32 weight whose values are made when they are first read: VGG-19 has 575 MB of them. */
  #weight(what: string, dims: readonly number[], values: () => Float32Array): string {
    const name = `${what}_${this.#initializers.size}`;
    let bytes: Uint8Array | undefined;
    const data = {
      kind: 'inline',
      get bytes() {
        bytes ??= new Uint8Array(values().buffer);
        return bytes;
      },
    } as const;
    this.#initializers.set(name, { name, dtype: 'float32', elementType: 1, dims, data });
    return name;
  }

  #normal(what: string, dims: readonly number[], deviation: number, mean = 0): string {
    const stream = this.#initializers.size + 1;
    return this.#weight(what, dims, () => this.#values.normal(elementCount(dims), stream, deviation, mean));
  }

  /** Filters or a matrix: the variance of what they make equals that of what they read (He et al. 2015, section 2.2). */
  #filters(x: Value, dims: readonly number[], fanIn: number, gain: number): string {
    return this.#normal('weight', dims, gain * Math.sqrt((x.isRectified ? 2 : 1) / fanIn));
  }

  #bias(count: number): string {
    return this.#normal('bias', [count], 0.01);
  }

  #window({ shape }: Value, size: number | readonly number[], { stride = 1, pads }: Window) {
    const cells = shape.slice(2);
    const kernel = typeof size === 'number' ? cells.map(() => size) : size;
    const missing = cells.map((n, axis) => Math.max(0, (Math.ceil(n / stride) - 1) * stride + kernel[axis]! - n));
    const same = [...missing.map((n) => Math.floor(n / 2)), ...missing.map((n) => Math.ceil(n / 2))];
    const around = pads === undefined ? same : same.map(() => pads);
    const made = cells.map(
      (n, axis) => Math.floor((n + around[axis]! + around[axis + cells.length]! - kernel[axis]!) / stride) + 1,
    );
    return { made, attributes: { kernel_shape: kernel, strides: cells.map(() => stride), pads: around } };
  }

  /** A convolution with a kernel of `size`; a number stands for all axes. */
  conv(x: Value, channels: Channels, size: number | readonly number[], options: ConvOptions = {}): Value {
    const { group = 1, bias = false, gain = 1 } = options;
    const { made, attributes } = this.#window(x, size, options);
    const count = this.channels(channels);
    const dims = [count, x.shape[1]! / group, ...attributes.kernel_shape];
    const weight = this.#filters(x, dims, elementCount(dims.slice(1)), gain);
    const inputs = [x, weight, ...(bias ? [this.#bias(count)] : [])];
    return this.op('Conv', inputs, [x.shape[0]!, count, ...made], { ...attributes, group });
  }

  /** A convolution of each channel alone. */
  depthwise(x: Value, size: number, options: ConvOptions = {}): Value {
    return this.conv(x, likeChannels(x), size, { ...options, group: x.shape[1]! });
  }

  /** Enlarges a map `factor` times by a fixed transposed convolution of each channel, bilinearly (FCN, section 3.3). */
  enlarge(x: Value, factor: number): Value {
    const [n, c, ...cells] = x.shape as [number, number, ...number[]];
    const size = 2 * factor;
    const line = Array.from({ length: size }, (_, i) => 1 - Math.abs((i + 0.5) / factor - 1));
    const kernel = line.flatMap((row) => line.map((col) => row * col));
    const weight = this.#weight('weight', [c, 1, size, size], () =>
      Float32Array.from({ length: c * kernel.length }, (_, i) => kernel[i % kernel.length]!),
    );
    const pads = new Array<number>(4).fill(factor / 2);
    const attributes = { kernel_shape: [size, size], strides: [factor, factor], pads, group: c };
    return this.op('ConvTranspose', [x, weight], [n, c, ...cells.map((cell) => cell * factor)], attributes);
  }

  /** Batch normalisation with four values a channel: scale, shift, mean and variance. */
  batchNorm(x: Value, epsilon = 1e-3): Value {
    const dims = [x.shape[1]!];
    const parameters = [
      this.#normal('scale', dims, 0.1, 1),
      this.#normal('shift', dims, 0.1),
      this.#normal('mean', dims, 0.1),
      this.#normal('variance', dims, 0.1, 1),
    ];
    return this.op('BatchNormalization', [x, ...parameters], x.shape, { epsilon: float(epsilon) });
  }

  relu(x: Value): Value {
    return { ...this.op('Relu', [x], x.shape), isRectified: true };
  }

  /** ReLU with a slope of 0.1 for negative numbers. */
  leaky(x: Value): Value {
    return { ...this.op('LeakyRelu', [x], x.shape, { alpha: float(0.1) }), isRectified: true };
  }

  /** ReLU with the limit 6. */
  relu6(x: Value): Value {
    const limits = [0, 6].map((limit) => this.constant('float32', [], [limit]));
    return { ...this.op('Clip', [x, ...limits], x.shape), isRectified: true };
  }

  maxPool(x: Value, size: number, window: Window = {}): Value {
    const { made, attributes } = this.#window(x, size, window);
    return { ...x, ...this.op('MaxPool', [x], [...x.shape.slice(0, 2), ...made], attributes) };
  }

  /** The average of the cells of each window that lie in the map. */
  averagePool(x: Value, size: number, window: Window = {}): Value {
    const { made, attributes } = this.#window(x, size, window);
    return { ...x, ...this.op('AveragePool', [x], [...x.shape.slice(0, 2), ...made], attributes) };
  }

  add(a: Value, b: Value): Value {
    return this.op('Add', [a, b], a.shape);
  }

  scale(x: Value, factor: number): Value {
    return this.op('Mul', [x, this.constant('float32', [], [factor])], x.shape);
  }

  /** Joins maps by channels. */
  concat(parts: readonly Value[]): Value {
    const [first] = parts;
    const channels = parts.reduce((sum, { shape }) => sum + shape[1]!, 0);
    const [n, , ...cells] = first!.shape as [number, number, ...number[]];
    const joined = this.op('Concat', parts, [n, channels, ...cells], { axis: 1 });
    return { ...joined, isRectified: parts.every(({ isRectified }) => isRectified) };
  }

  flatten(x: Value): Value {
    return { ...x, ...this.op('Flatten', [x], [x.shape[0]!, elementCount(x.shape.slice(1))]) };
  }

  /** A layer in which every output reads every input `[n, c]`. */
  dense(x: Value, units: Channels): Value {
    const count = this.channels(units);
    const fanIn = x.shape[1]!;
    const weight = this.#filters(x, [count, fanIn], fanIn, 1);
    return this.op('Gemm', [x, weight, this.#bias(count)], [x.shape[0]!, count], { transB: 1 });
  }

  /**
   * The end of a classifier: the mean of each channel, then a dense layer. The softmax behind it is left out: with
   * seeded weights it would hide differences.
   */
  classify(x: Value, classes = 1000): Value {
    const mean = this.op('GlobalAveragePool', [x], [...x.shape.slice(0, 2), ...x.shape.slice(2).map(() => 1)]);
    return this.dense(this.flatten({ ...x, ...mean }), { exactly: classes });
  }

  /** An If: of its two branches only the one that `condition` (one bool) chooses is computed. */
  choose(condition: Value, then: () => Value, otherwise: () => Value): Value {
    const branch = (name: string, build: () => Value): { attribute: Attribute; made: Value } => {
      const outside = this.#nodes;
      this.#nodes = [];
      const made = build();
      const attribute = graphAttribute(name, { ...this.#graph(name, [made]), unknown: new Uint8Array(0) });
      this.#nodes = outside;
      return { attribute, made };
    };
    const [first, second] = [branch('then_branch', then), branch('else_branch', otherwise)];
    return this.op('If', [condition], first.made.shape, {
      then_branch: first.attribute,
      else_branch: second.attribute,
    });
  }
}
