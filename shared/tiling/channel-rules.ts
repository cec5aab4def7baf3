import { intAttribute } from '../onnx/attributes.ts';
import { elementCount } from '../tensor/tensor.ts';
import { BROADCAST, CELL_BY_CELL } from './receptive-field.ts';
import { NEWEST_OPSET } from './rules/attributes.ts';
import { axisIndex, isObstacle, type NodeView, type Obstacle, obstacle } from './rules/rule.ts';
import { combinesCells, ruleFor } from './rules/table.ts';

/** A node as its rule for channels sees it: maps of the view are tensors of which a part has only its channels. */
export interface ChannelView extends NodeView {
  /** The axis of an input along which a part has only its channels; undefined for an input that it has whole. */
  channels(input: number): number | undefined;
  /** Whether an input depends on constants alone. */
  constant(input: number): boolean;
}

/** How a part computes its channels of a node's outputs. */
export interface ChannelRule {
  /** Per input: the axis of which it reads only its channels; undefined where it reads all. */
  readonly inputs: readonly (number | undefined)[];
  /** Per output: the axis on which its channels lie. */
  readonly outputs: readonly number[];
  /** The groups between which channels can be cut, each alone connected with its own inputs. */
  readonly groups?: number;
  /** Set where the input 1 is the target shape, which names the number of channels. */
  readonly reshapes?: true;
}

/** A layer that makes each output channel from all input channels, by weights of its own for each. */
interface Layer {
  /** Index of the weights, and the axis of theirs that numbers the output channels. */
  readonly weight: number;
  readonly axis: (view: NodeView) => number;
  /** Inputs that may have a value for each output channel, on their last axis. */
  readonly perChannel: readonly number[];
}

const convolution = { axis: ({ node }: NodeView) => (isGrouped(node) || node.op !== 'ConvTranspose' ? 0 : 1) };
const product = { axis: (view: NodeView) => view.input(view.node.op === 'QLinearMatMul' ? 3 : 1)!.shape.length - 1 };

const LAYERS: ReadonlyMap<string, Layer> = new Map([
  ['Conv', { ...convolution, weight: 1, perChannel: [2] }],
  ['ConvTranspose', { ...convolution, weight: 1, perChannel: [2] }],
  ['ConvInteger', { ...convolution, weight: 1, perChannel: [3] }],
  ['QLinearConv', { ...convolution, weight: 3, perChannel: [4, 5, 8] }],
  ['Gemm', { weight: 1, axis: ({ node }) => (intAttribute(node, 'transB', 0) === 0 ? 1 : 0), perChannel: [2] }],
  ['MatMul', { ...product, weight: 1, perChannel: [] }],
  ['MatMulInteger', { ...product, weight: 1, perChannel: [3] }],
  ['QLinearMatMul', { ...product, weight: 3, perChannel: [4, 5] }],
]);

/** Operators that work on each channel (axis 1) alone, with the inputs that have a value for each. */
const PER_CHANNEL: ReadonlyMap<string, readonly number[]> = new Map([
  ['BatchNormalization', [1, 2, 3, 4]],
  ['InstanceNormalization', [1, 2]],
  ...'MaxPool AveragePool LpPool GlobalMaxPool GlobalAveragePool GlobalLpPool'
    .split(' ')
    .map((op): [string, number[]] => [op, []]),
]);

const RESHAPING: ReadonlySet<string> = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

function isGrouped(node: NodeView['node']): boolean {
  return intAttribute(node, 'group', 1) > 1;
}

/**
 * The rule of a node that reads channels, or makes them by its weights; undefined for any other node, which every part
 * runs whole. A reason continues a sentence that begins with the operator's name.
 */
export function channelRule(view: ChannelView): ChannelRule | Obstacle | undefined {
  const { node } = view;
  const readsChannels = node.inputs.some((_, i) => view.channels(i) !== undefined);
  const layer = node.domain === '' ? LAYERS.get(node.op) : undefined;
  if (layer === undefined && !readsChannels) return undefined;
  if (view.opset > NEWEST_OPSET)
    return obstacle(`is of operator set ${view.opset}; the rules for channels know those up to ${NEWEST_OPSET}`);
  if (layer !== undefined) return layerRule(view, layer);
  const perChannel = node.domain === '' ? PER_CHANNEL.get(node.op) : undefined;
  if (perChannel !== undefined) return perChannelRule(view, perChannel);
  if (node.domain === '' && RESHAPING.has(node.op)) return reshapeRule(view);
  if (/^(Dequantize|Quantize)Linear$/.test(node.op)) return quantizeRule(view);
  return cellRule(view);
}

/** Convolutions and products with weights: the slice of the weights makes the channels of the output. */
function layerRule(view: ChannelView, { weight, axis, perChannel }: Layer): ChannelRule | Obstacle {
  const { node } = view;
  if (view.constant(0)) return obstacle('multiplies by weights from the left, which channels cannot be cut from');
  if (!view.constant(weight)) return obstacle('has weights that are computed from the frame');
  const shape = view.input(weight)?.shape ?? [];
  if (shape.length < 2) return obstacle('has weights without an axis of output channels');
  const isConv = node.op.includes('Conv');
  const groups = isConv ? intAttribute(node, 'group', 1) : 1;
  const at = isConv ? 1 : view.output(0).length - 1;
  const given = view.channels(0);
  if (groups === 1 && given !== undefined) return obstacle(`needs all channels of "${node.inputs[0]}"`);
  if (groups > 1 && given !== undefined && given !== 1) return slides();
  const inputs = node.inputs.map((_, i) => {
    if (i === 0) return groups > 1 ? 1 : undefined;
    if (i === weight) return axis(view);
    return perChannel.includes(i) ? valueAxis(view, i) : undefined;
  });
  return { inputs, outputs: [at], ...(groups > 1 ? { groups } : {}) };
}

function slides(): Obstacle {
  return obstacle('treats the axis of the channels as rows or columns');
}

/** The last axis of an input with a value for each channel; undefined for one value for all. */
function valueAxis(view: ChannelView, input: number): number | undefined {
  const shape = view.input(input)?.shape ?? [];
  return (shape.at(-1) ?? 1) > 1 ? shape.length - 1 : undefined;
}

function perChannelRule(view: ChannelView, values: readonly number[]): ChannelRule | Obstacle {
  const { node } = view;
  if (view.channels(0) === undefined) return obstacle('has a parameter that is computed from the frame');
  if (view.channels(0) !== 1) return slides();
  if (node.outputs.slice(1).some((output) => output !== ''))
    return obstacle('has further outputs, which depend on all channels');
  if (intAttribute(node, 'spatial', 1) !== 1) return obstacle('has statistics for each cell');
  const inputs = node.inputs.map((_, i) => (i === 0 ? 1 : values.includes(i) ? valueAxis(view, i) : undefined));
  return { inputs, outputs: [1] };
}

/**
 * Reshape, Flatten, Squeeze, Unsqueeze: the channels stay in consecutive runs where as many elements lie in front of
 * their axis as before; further axes may join them or be split off behind them.
 */
function reshapeRule(view: ChannelView): ChannelRule | Obstacle {
  const { node } = view;
  const from = view.input(0)?.shape;
  const axis = view.channels(0);
  if (from === undefined || axis === undefined) return obstacle('has a shape that is computed from the frame');
  const to = view.output(0);
  const before = elementCount(from.slice(0, axis));
  const made = to.findIndex((size, i) => size > 1 && elementCount(to.slice(0, i)) === before);
  if (made < 0) return obstacle('mixes the channels with an axis in front of them');
  const inputs = node.inputs.map((_, i) => (i === 0 ? axis : undefined));
  return { inputs, outputs: [made], ...(node.op === 'Reshape' ? { reshapes: true } : {}) };
}

/** QuantizeLinear and DequantizeLinear: one scale for all, or one for each step along one axis. */
function quantizeRule(view: ChannelView): ChannelRule | Obstacle {
  const { node } = view;
  const axis = view.channels(0);
  if (axis === undefined) return obstacle('has a scale that is computed from the frame');
  const scale = view.input(1)?.shape;
  if (scale === undefined || intAttribute(node, 'block_size', 0) !== 0 || scale.length > 1)
    return obstacle('quantises in blocks');
  const isAlong = axisIndex(intAttribute(node, 'axis', 1), view.output(0).length) === axis;
  return {
    inputs: node.inputs.map((_, i) => (i === 0 ? axis : isAlong ? valueAxis(view, i) : undefined)),
    outputs: [axis],
  };
}

/**
 * Every other operator: it acts on each channel alone where the rules for tiles say that it would act on each column
 * alone if the channels were columns.
 */
function cellRule(view: ChannelView): ChannelRule | Obstacle {
  const { node } = view;
  const mixes = obstacle('is not known to act on each channel by itself');
  if (view.channels(0) === undefined && !combinesCells(node.op)) return mixes;
  const rule = ruleFor(view);
  if (isObstacle(rule) || rule.rewrite !== undefined || rule.trim) return mixes;
  const inputs: (number | undefined)[] = [];
  for (const input of rule.inputs) {
    if (input !== undefined && input.w !== CELL_BY_CELL && input.w !== BROADCAST) return mixes;
    inputs.push(input === undefined || input.w === BROADCAST || input.layout.w < 0 ? undefined : input.layout.w);
  }
  const outputs = rule.outputs.map((layout) => layout?.w ?? -1);
  return outputs.some((axis) => axis < 0) ? mixes : { inputs, outputs };
}
