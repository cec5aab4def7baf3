import type { Attribute, GraphNode } from '../../onnx/model.ts';
import { type Obstacle, obstacle } from './rule.ts';

/** The newest operator set that the rules were checked against (ONNX 1.23). */
export const NEWEST_OPSET = 28;

/** Whether an operator's rule supports the value of an attribute. */
type Fits = (attribute: Attribute) => boolean;

const int: Fits = ({ kind }) => kind === 'int';
const ints: Fits = ({ kind }) => kind === 'ints';
const float: Fits = ({ kind }) => kind === 'float';
const floats: Fits = ({ kind }) => kind === 'floats';
const flag: Fits = (attribute) => attribute.kind === 'int' && (attribute.value === 0 || attribute.value === 1);
const only =
  (wanted: number): Fits =>
  (attribute) =>
    attribute.kind === 'int' && attribute.value === wanted;
const oneOf =
  (...words: string[]): Fits =>
  (attribute) =>
    attribute.kind === 'string' && words.includes(attribute.value);

const PADDING = oneOf('NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER');
const WINDOW = { auto_pad: PADDING, kernel_shape: ints, pads: ints, strides: ints, dilations: ints };
const POOL = { ...WINDOW, ceil_mode: flag };
const CONVOLUTION = { ...WINDOW, group: int };
const COORDINATES = oneOf(
  'half_pixel',
  'half_pixel_symmetric',
  'pytorch_half_pixel',
  'align_corners',
  'asymmetric',
  'tf_half_pixel_for_nn',
  'tf_crop_and_resize',
);
const REDUCTION = { axes: ints, keepdims: flag, noop_with_empty_axes: flag };
const ARGUMENT = { axis: int, keepdims: flag, select_last_index: flag };

type Known = Readonly<Record<string, Fits>>;

/**
 * Attributes, and their values, that the rules support, by operator, for every operator set up to NEWEST_OPSET. An
 * operator that is not listed has no attributes. Of `training_mode` and `spatial` of BatchNormalization only the value
 * with which it works cell by cell is supported.
 */
const ATTRIBUTES: Readonly<Record<string, Known>> = {
  Conv: CONVOLUTION,
  QLinearConv: CONVOLUTION,
  ConvInteger: CONVOLUTION,
  ConvTranspose: { ...CONVOLUTION, output_padding: ints, output_shape: ints },
  MaxPool: { ...POOL, storage_order: flag },
  AveragePool: { ...POOL, count_include_pad: flag },
  LpPool: { ...POOL, p: int },
  DepthToSpace: { blocksize: int, mode: oneOf('DCR', 'CRD') },
  SpaceToDepth: { blocksize: int, mode: oneOf('DCR', 'CRD') },
  Resize: {
    antialias: flag,
    axes: ints,
    coordinate_transformation_mode: COORDINATES,
    cubic_coeff_a: float,
    exclude_outside: flag,
    extrapolation_value: float,
    keep_aspect_ratio_policy: oneOf('stretch', 'not_larger', 'not_smaller'),
    mode: oneOf('nearest', 'linear', 'cubic'),
    nearest_mode: oneOf('round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'),
  },
  Upsample: { mode: oneOf('nearest', 'linear', 'bilinear'), scales: floats },
  Cast: { to: int, saturate: flag, round_mode: oneOf('up', 'down', 'nearest') },
  Celu: { alpha: float },
  Clip: { min: float, max: float },
  Dropout: { ratio: float, seed: int },
  Elu: { alpha: float },
  Gelu: { approximate: oneOf('none', 'tanh') },
  HardSigmoid: { alpha: float, beta: float },
  IsInf: { detect_negative: flag, detect_positive: flag },
  LeakyRelu: { alpha: float },
  Selu: { alpha: float, gamma: float },
  Shrink: { bias: float, lambd: float },
  Swish: { alpha: float },
  ThresholdedRelu: { alpha: float },
  BitShift: { direction: oneOf('LEFT', 'RIGHT') },
  Mod: { fmod: flag },
  BatchNormalization: { epsilon: float, momentum: float, training_mode: only(0), spatial: only(1) },
  LRN: { alpha: float, beta: float, bias: float, size: int },
  QuantizeLinear: { axis: int, saturate: flag, block_size: int, output_dtype: int, precision: int },
  DequantizeLinear: { axis: int, block_size: int, output_dtype: int },
  Softmax: { axis: int },
  LogSoftmax: { axis: int },
  Hardmax: { axis: int },
  LayerNormalization: { axis: int, epsilon: float, stash_type: int },
  RMSNormalization: { axis: int, epsilon: float, stash_type: int },
  LpNormalization: { axis: int, p: int },
  CumSum: { exclusive: flag, reverse: flag },
  ArgMax: ARGUMENT,
  ArgMin: ARGUMENT,
  ...Object.fromEntries(
    'L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare'.split(' ').map((name) => [`Reduce${name}`, REDUCTION]),
  ),
  Concat: { axis: int },
  Split: { axis: int, split: ints, num_outputs: int },
  Slice: { axes: ints, starts: ints, ends: ints },
  Gather: { axis: int },
  Pad: { mode: oneOf('constant', 'reflect', 'edge', 'wrap'), pads: ints, value: float },
  Transpose: { perm: ints },
  Reshape: { allowzero: flag },
  Flatten: { axis: int },
  Squeeze: { axes: ints },
  Unsqueeze: { axes: ints },
};

/** Explanations of some unsupported values. */
const MEANING: Readonly<Record<string, string>> = {
  'BatchNormalization.training_mode': 'normalises by the statistics of its own input, so it needs the whole map',
  'BatchNormalization.spatial': 'has statistics for each cell',
};

function text(attribute: Attribute): string {
  if (attribute.kind === 'tensor' || attribute.kind === 'other') return `a ${attribute.kind} value`;
  return String(attribute.value).slice(0, 40);
}

/**
 * The attribute, or value of one, that an operator's rule does not support; undefined where there is none. An
 * unsupported attribute may act beyond a tile, so it ends the tile stage.
 */
export function unknownAttribute({ op, attributes }: GraphNode): Obstacle | undefined {
  const known = ATTRIBUTES[op] ?? {};
  for (const [name, attribute] of attributes) {
    const fits = Object.hasOwn(known, name) ? known[name] : undefined;
    if (fits === undefined) return obstacle(`has an attribute "${name}", which its rule for tiles does not know`);
    if (!fits(attribute))
      return obstacle(
        MEANING[`${op}.${name}`] ?? `has ${name} = ${text(attribute)}, which its rule for tiles does not know`,
      );
  }
  return undefined;
}
