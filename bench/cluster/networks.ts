import type { CodecSpec } from '../../shared/codec/spec.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { ZOO } from '../zoo/networks.ts';
import { charcnnOfPicture, TEXT_PICTURE } from './charcnn-picture.ts';
import { type Draft, evenSizes, fdsp, halo, slices, whole } from './plans.ts';

/** A network of the experiments, with the plan that serves it. */
export interface ClusterNetwork {
  /** Shape of its input, `[n, c, h, w]`. */
  readonly input: readonly number[];
  readonly build: () => Model;
  /** Its plan for so many nodes. */
  readonly plan: (nodes: number) => readonly Draft[];
  /** A plan whose results equal those of the whole network. */
  readonly lossless: (nodes: number) => readonly Draft[];
  /** Least speed-up on eight nodes; undefined: it is only reported. */
  readonly target: number | undefined;
  /** Where the accuracy of this form of plan stands; weights here are seeded. */
  readonly accuracy: string;
}

const SEEDED = 'none: seeded weights; docs/retraining.md has networks that were retrained for tiles without halo';
const EXACT = 'that of the network: tiles with halo, sent without loss';
const PACKED: CodecSpec = { name: 'packed' };

/**
 * ADCNN's codec of 4 bits. The bounds are about the quantiles of 75 and 99.9 % of the map in the seeded network, so that
 * as many codes are zero as in those that were retrained.
 */
const clip = (a: number, b: number): CodecSpec => ({ name: 'clip', a, b, bits: 4 });

const picture = (side: number): readonly number[] => [1, 3, side, side];
const zoo = (name: string, input: readonly number[]) => ({ input, build: () => ZOO.get(name)!.build({ input }) });

/** The maps after the poolings of VGG-16, with their rows: the stages of the lossless plan, as short as messages allow. */
const VGG_POOLS = [
  ['maxpool_10', 56],
  ['maxpool_17', 28],
  ['maxpool_24', 14],
  ['maxpool_31', 7],
] as const;

/** The ends of some blocks of ResNet-34, with their rows. */
const RESNET_BLOCKS = [
  ['relu_25', 56],
  ['relu_55', 28],
  ['relu_78', 14],
  ['relu_99', 14],
  ['relu_108', 7],
  ['relu_115', 7],
  ['relu_122', 7],
] as const;
/** Maps of YOLOv2 at 416, with their rows. */
const YOLO_MAPS = [
  ['maxpool_18', 52],
  ['leakyrelu_43', 26],
  ['leakyrelu_53', 13],
  ['leakyrelu_59', 13],
  ['leakyrelu_62', 13],
  ['leakyrelu_65', 13],
] as const;

/** Strips with halo from each of these maps to the next. */
function haloStrips(ends: readonly (readonly [tensor: string, rows: number])[], nodes: number): Draft[] {
  return ends.map(([tensor, rows], i) =>
    halo([i === 0 ? 'input' : ends[i - 1]![0]], tensor, evenSizes(rows, nodes), [rows], PACKED),
  );
}

/** The networks by the names of `--model`, with the plan of each. */
export const NETWORKS: Readonly<Record<string, ClusterNetwork>> = {
  /** Seven strips of all convolutions; the first dense layer in slices; the others at central. */
  vgg16: {
    ...zoo('vgg-16', picture(224)),
    plan: (nodes) => [
      fdsp(['input'], 'maxpool_31', evenSizes(7, nodes), [7], clip(0.2, 1)),
      slices('maxpool_31', 'relu_34', 4096, nodes, clip(0.2, 1)),
      whole(['relu_34'], ['gemm_37']),
    ],
    lossless: (nodes) => [
      ...haloStrips(VGG_POOLS, nodes),
      slices('maxpool_31', 'relu_34', 4096, nodes, PACKED),
      whole(['relu_34'], ['gemm_37']),
    ],
    target: 5.5,
    accuracy: SEEDED,
  },
  /** Seven strips of all convolutions; the rest at central. */
  resnet34: {
    ...zoo('resnet-34', picture(224)),
    plan: (nodes) => [
      fdsp(['input'], 'relu_122', evenSizes(7, nodes), [7], clip(0.8, 3.3)),
      whole(['relu_122'], ['gemm_125']),
    ],
    lossless: (nodes) => [...haloStrips(RESNET_BLOCKS, nodes), whole(['relu_122'], ['gemm_125'])],
    target: 3,
    accuracy: SEEDED,
  },
  /** Eight strips of the whole network: 13 rows of cells. Its result has no ReLU, and travels with 8 bits. */
  yolov2: {
    ...zoo('yolo-v2', picture(416)),
    plan: (nodes) => [fdsp(['input'], 'conv_74', evenSizes(13, nodes), [13], { name: 'q8', per: 'tensor' })],
    lossless: (nodes) => [
      ...haloStrips(YOLO_MAPS, nodes),
      halo(['leakyrelu_65', 'leakyrelu_43'], 'conv_74', evenSizes(13, nodes), [13], PACKED),
    ],
    target: 6,
    accuracy: SEEDED,
  },
  /**
   * Seven strips of the convolutions of VGG-16; the convolution of 7x7 cells in slices of channels; strips again for
   * those of one cell, which need no surroundings; the enlargement at central.
   */
  fcn: {
    ...zoo('fcn-32s', picture(224)),
    plan: (nodes) => [
      fdsp(['input'], 'maxpool_31', evenSizes(7, nodes), [7], clip(0.2, 1)),
      slices('maxpool_31', 'relu_33', 4096, nodes, clip(0.15, 0.8)),
      fdsp(['relu_33'], 'conv_36', evenSizes(7, nodes), [7], { name: 'q8', per: 'tensor' }),
      whole(['conv_36'], ['convtranspose_37']),
    ],
    lossless: (nodes) => [
      ...haloStrips(VGG_POOLS, nodes),
      slices('maxpool_31', 'relu_33', 4096, nodes, PACKED),
      halo(['relu_33'], 'conv_36', evenSizes(7, nodes), [7], PACKED),
      whole(['conv_36'], ['convtranspose_37']),
    ],
    target: 6,
    accuracy: SEEDED,
  },
  /** Its convolutions have no padding, so that tiles have a halo: strips of 34 columns of cells. */
  charcnn: {
    input: TEXT_PICTURE,
    build: charcnnOfPicture,
    plan: (nodes) => charStrips(nodes),
    lossless: (nodes) => charStrips(nodes),
    target: undefined,
    accuracy: EXACT,
  },
};

function charStrips(nodes: number): Draft[] {
  return [halo(['input'], 'maxpool_15', [1], evenSizes(34, nodes), PACKED), whole(['maxpool_15'], ['gemm_21'])];
}
