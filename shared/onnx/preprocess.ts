import { TesseraError } from '../errors.ts';
import { elementNumber } from './element-types.ts';
import type { Attribute, GraphNode, Initializer, Model, ResolvedModel } from './model.ts';
import { valueInfo } from './value-info-proto.ts';
import { constantTensor } from './values.ts';

/** Name of the graph input that takes the decoded picture: uint8 [1, height, width, channels], RGB or grey. */
export const FRAME_INPUT = 'tessera_frame';

/**
 * The preprocessing that a network was trained with. `mean` and `std` have one entry per channel in the order of
 * `color`, one for all channels, or none.
 */
export interface PreparedInput {
  /** The model's own input, which becomes the output of the preprocessing. */
  readonly tensor: string;
  readonly height: number;
  readonly width: number;
  readonly layout: 'nchw' | 'nhwc';
  readonly color: 'rgb' | 'bgr' | 'gray' | 'y';
  /** (pixel / scale - mean) / std */
  readonly scale: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Expands a list to one number per channel; it has one entry per channel, one for all, or none. */
function perChannel(values: readonly number[], channels: number, none: number, what: string): number[] {
  if (values.length === 0 || values.length === 1 || values.length === channels) {
    return Array.from({ length: channels }, (_, i) => values[values.length === 1 ? 0 : i] ?? none);
  }
  throw new TesseraError('TESSERA_MODEL_CARD', `input.${what} has ${values.length} values for ${channels} channels.`, {
    hint: `Give ${channels} values in the order of input.color, one for all, or none.`,
  });
}

/** Builds the chain of nodes between the picture and the model's input, each with its constants. */
class Chain {
  readonly nodes: GraphNode[] = [];
  readonly constants: Initializer[] = [];
  #last = FRAME_INPUT;

  add(op: string, attributes: Readonly<Record<string, Attribute>>, constant?: Initializer): void {
    const name = `${FRAME_INPUT}/${op.toLowerCase()}_${this.nodes.length}`;
    const inputs = [this.#last];
    if (constant !== undefined) {
      this.constants.push({ ...constant, name: `${name}/value` });
      inputs.push(`${name}/value`);
    }
    this.nodes.push({ name, op, domain: '', inputs, outputs: [name], attributes: new Map(Object.entries(attributes)) });
    this.#last = name;
  }

  /** Names the output of the chain; a chain without nodes passes the picture on. */
  finish(tensor: string): void {
    if (this.nodes.length === 0) this.add('Identity', {});
    this.nodes.push({ ...this.nodes.pop()!, outputs: [tensor] });
  }
}

/**
 * Puts the preprocessing of a picture in front of a model. The new graph input `tessera_frame` replaces `input.tensor`,
 * which becomes the output of the preprocessing. Pixels are transposed and reordered as uint8 (a quarter of the cost of
 * doing it in float32), then cast, then scaled and shifted by one Mul and one Add, each left out where it would change
 * nothing. Throws TESSERA_SHAPE where the model's input is not such a picture, and TESSERA_MODEL_CARD for a mean or std
 * of the wrong length or a division by 0.
 */
export function withPreprocessing(model: ResolvedModel, input: PreparedInput): Model {
  const { graph } = model.model;
  const { tensor, height, width, layout, color } = input;
  const channels = color === 'rgb' || color === 'bgr' ? 3 : 1;
  const spec = model.specs.get(tensor);
  const wanted = layout === 'nchw' ? [1, channels, height, width] : [1, height, width, channels];
  if (!graph.inputs.some(({ name }) => name === tensor) || spec === undefined || `${spec.shape}` !== `${wanted}`) {
    throw new TesseraError(
      'TESSERA_SHAPE',
      `The model has no input "${tensor}" of shape [${wanted}]${spec === undefined ? '' : `; it is [${spec.shape}]`}.`,
      { hint: 'Check input.tensor, input.shape, input.layout and input.color in model.yaml.' },
    );
  }
  const std = perChannel(input.std, channels, 1, 'std');
  const mean = perChannel(input.mean, channels, 0, 'mean');
  if (input.scale === 0 || std.includes(0)) {
    throw new TesseraError('TESSERA_MODEL_CARD', 'input.scale and input.std divide, so they cannot be 0.', {
      hint: 'Use scale 1 or 255, and leave std empty where nothing is divided by it.',
    });
  }
  const factors = std.map((deviation) => 1 / (input.scale * deviation));
  const shifts = std.map((deviation, i) => -mean[i]! / deviation);

  const chain = new Chain();
  const channelAxis = layout === 'nchw' ? 1 : 3;
  const perPlane = (values: readonly number[]): Initializer => {
    const isUniform = values.every((value) => value === values[0]);
    if (isUniform) return constantTensor('', 'float32', [1], values.slice(0, 1));
    return constantTensor('', 'float32', channelAxis === 1 ? [1, channels, 1, 1] : [channels], values);
  };
  if (layout === 'nchw') chain.add('Transpose', { perm: { kind: 'ints', value: [0, 3, 1, 2] } });
  if (color === 'bgr') {
    const axis = { kind: 'int', value: channelAxis } as const;
    chain.add('Gather', { axis }, constantTensor('', 'int64', [3], [2, 1, 0]));
  }
  const isScaled = factors.some((factor) => factor !== 1);
  const isShifted = shifts.some((shift) => shift !== 0);
  const cast = (dtype: typeof spec.dtype) => chain.add('Cast', { to: { kind: 'int', value: elementNumber(dtype) } });
  if (isScaled || isShifted) cast('float32');
  if (isScaled) chain.add('Mul', {}, perPlane(factors));
  if (isShifted) chain.add('Add', {}, perPlane(shifts));
  if (spec.dtype !== (isScaled || isShifted ? 'float32' : 'uint8')) cast(spec.dtype);
  chain.finish(tensor);

  const frame = valueInfo(FRAME_INPUT, { dtype: 'uint8', shape: [1, height, width, channels] });
  return {
    ...model.model,
    graph: {
      ...graph,
      nodes: [...chain.nodes, ...graph.nodes],
      inputs: graph.inputs.map((each) => (each.name === tensor ? frame : each)),
      initializers: new Map([...graph.initializers, ...chain.constants.map((each) => [each.name, each] as const)]),
    },
  };
}
