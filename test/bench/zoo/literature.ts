/** What was published of one network. */
export interface Published {
  readonly parameters: number;
  /**
   * What the source counts of a batch normalisation: all four values a channel; not the statistics, which are not
   * learned; or not the scale, which Keras leaves out where a ReLU follows.
   */
  readonly counted: 'all' | 'learned' | 'unscaled';
  readonly parametersFrom: string;
  /** Multiply-adds; absent where none were published for exactly this variant. */
  readonly macs?: number;
  /** Share by which the count may differ: how far the source rounds, or what it counts beside convolutions. */
  readonly within?: number;
  readonly macsFrom?: string;
}

const KERAS = 'Keras Applications, count_params() of the model with its top';
const TORCHVISION = 'torchvision, num_params and _ops of the weights';
const TIMM = 'timm, benchmark tables (GMACs)';
const IMGCLSMOB = 'osmr/imgclsmob, tables of parameters';
const DARKNET =
  'BFLOPs that Darknet prints and pjreddie.com/darknet/yolo lists: two for a multiply-add, of convolutions';
/** The last digit of a figure with four digits. */
const FOUR_DIGITS = 5e-4;

function keras(parameters: number, counted: 'all' | 'unscaled' = 'all') {
  return { parameters, counted, parametersFrom: KERAS } as const;
}

function learned(parameters: number, parametersFrom: string) {
  return { parameters, counted: 'learned', parametersFrom } as const;
}

function macs(billions: number, macsFrom: string, within = FOUR_DIGITS) {
  return { macs: billions * 1e9, within, macsFrom } as const;
}

/** The four values of the batch normalisation of the picture with which MXNet's networks begin, and the zoo's do not. */
const MXNET_PICTURE = 3 * 4;
const MXNET = 'MXNet Gluon Model Zoo, table of parameters';
const RESNET_V1 = 'He et al., CVPR 2016, table 1';

/** VGG-16 through its last pooling: the sum of what each layer makes times what each of its elements reads. */
const VGG_16_CONVOLUTIONS = 15_346_630_656;
/** The dense layers of VGG-16 as convolutions over 7x7 cells, and the scores of 21 classes. */
const FCN_HEAD = 49 * (7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 21);
const VGG_16_FILTERS = 14_714_688;
const FCN_HEAD_WEIGHTS = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 21;

/** Layers of the character-level network: kernel, and cells that it makes (1014 = 3 * 336 + 6, ...). */
const CHARCNN_LAYERS: readonly (readonly [inputs: number, kernel: number, cells: number])[] = [
  [70, 7, 1008],
  [256, 7, 330],
  [256, 3, 108],
  [256, 3, 106],
  [256, 3, 104],
  [256, 3, 102],
];
const CHARCNN_DENSE: readonly (readonly [inputs: number, outputs: number])[] = [
  [34 * 256, 1024],
  [1024, 1024],
  [1024, 4],
];
const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** Parameters and multiply-adds of every network of the zoo but the gated one, which no paper has. */
export const LITERATURE: Readonly<Record<string, Published>> = {
  alexnet: {
    parameters: 60_965_224,
    counted: 'all',
    parametersFrom: 'weights of bvlc_alexnet.caffemodel, as in the ONNX model zoo',
    ...macs(0.724, 'Sze et al., Proceedings of the IEEE 2017, table 2', 1e-3),
  },
  'vgg-16': { ...keras(138_357_544), ...macs(15.47, TORCHVISION) },
  'vgg-19': { ...keras(143_667_240), ...macs(19.632, TORCHVISION) },
  'fcn-32s': {
    parameters: VGG_16_FILTERS + FCN_HEAD_WEIGHTS + 21 * 64 * 64,
    counted: 'all',
    parametersFrom: 'from its layers; Long et al., CVPR 2015, table 1, has 134 millions',
    macs: VGG_16_CONVOLUTIONS + FCN_HEAD + 49 * 21 * 64 * 64,
    within: 0,
    macsFrom: 'from its layers',
  },
  'fcn-8s': {
    parameters: VGG_16_FILTERS + FCN_HEAD_WEIGHTS + (512 + 1) * 21 + (256 + 1) * 21 + 2 * 21 * 4 * 4 + 21 * 16 * 16,
    counted: 'all',
    parametersFrom: 'from its layers',
    macs:
      VGG_16_CONVOLUTIONS +
      FCN_HEAD +
      21 * (14 * 14 * 512 + 28 * 28 * 256) +
      21 * (7 * 7 * 4 * 4 + 14 * 14 * 4 * 4 + 28 * 28 * 16 * 16),
    within: 0,
    macsFrom: 'from its layers',
  },
  'resnet-18': { ...learned(11_689_512, TORCHVISION), ...macs(1.814, TORCHVISION) },
  'resnet-34': { ...learned(21_797_672, TORCHVISION), ...macs(3.664, TORCHVISION) },
  'resnet-50': { ...keras(25_636_712), ...macs(3.8, RESNET_V1, 0.02) },
  'resnet-101': { ...keras(44_707_176), ...macs(7.6, RESNET_V1, 0.02) },
  'resnet-152': { ...keras(60_419_944), ...macs(11.3, RESNET_V1, 0.02) },
  // Version 2 of two 3x3 convolutions has the convolutions of version 1.
  'resnet-18-v2': {
    parameters: 11_695_796 - MXNET_PICTURE,
    counted: 'all',
    parametersFrom: MXNET,
    ...macs(1.814, TORCHVISION),
  },
  'resnet-34-v2': {
    parameters: 21_811_380 - MXNET_PICTURE,
    counted: 'all',
    parametersFrom: MXNET,
    ...macs(3.664, TORCHVISION),
  },
  'resnet-50-v2': keras(25_613_800),
  'resnet-101-v2': keras(44_675_560),
  'resnet-152-v2': keras(60_380_648),
  'densenet-121': { ...keras(8_062_504), ...macs(2.834, TORCHVISION) },
  'densenet-169': { ...keras(14_307_880), ...macs(3.36, TORCHVISION) },
  'densenet-201': { ...keras(20_242_984), ...macs(4.291, TORCHVISION) },
  'inception-v3': { ...keras(23_851_784, 'unscaled'), ...macs(5.713, TORCHVISION) },
  'inception-v4': { ...learned(42_679_816, IMGCLSMOB), ...macs(12.28, TIMM, 0.005) },
  'inception-resnet-v2': { ...keras(55_873_736, 'unscaled'), ...macs(13.18, TIMM, 0.005) },
  xception: { ...keras(22_910_480), ...macs(8.4, TIMM, 0.01) },
  'mobilenet-v1': { ...keras(4_253_864), ...macs(0.569, 'Howard et al., 2017, table 4', 1e-3) },
  'mobilenet-v2': { ...keras(3_538_984), ...macs(0.3, 'Sandler et al., CVPR 2018, table 4', 0.005) },
  'nasnet-mobile': { ...keras(5_326_716), ...macs(0.564, 'Zoph et al., CVPR 2018, table 3', 1e-3) },
  'nasnet-large': { ...keras(88_949_818), ...macs(23.8, 'Zoph et al., CVPR 2018, table 2', 0.002) },
  'darknet-53': { ...learned(41_609_928, IMGCLSMOB), ...macs(18.57 / 2, DARKNET, 1e-3) },
  'yolo-v3': {
    parameters: 62_001_757,
    counted: 'all',
    parametersFrom: 'keras-yolo3, summary of the model for COCO',
    ...macs(65.86 / 2, DARKNET),
  },
  'yolo-v2': {
    parameters: 50_983_561,
    counted: 'all',
    parametersFrom: 'YAD2K, summary of the model for COCO',
    ...macs(62.94 / 2, DARKNET),
  },
  'tiny-yolo-v2': {
    parameters: 15_867_885,
    counted: 'all',
    parametersFrom: 'YAD2K, summary of the model for VOC',
    ...macs(6.97 / 2, DARKNET, 1e-3),
  },
  charcnn: {
    parameters:
      sum(CHARCNN_LAYERS.map(([inputs, kernel]) => (inputs * kernel + 1) * 256)) +
      sum(CHARCNN_DENSE.map(([inputs, outputs]) => (inputs + 1) * outputs)),
    counted: 'all',
    parametersFrom: 'from tables 1 and 2 of Zhang et al., NIPS 2015',
    macs:
      sum(CHARCNN_LAYERS.map(([inputs, kernel, cells]) => inputs * kernel * cells * 256)) +
      sum(CHARCNN_DENSE.map(([inputs, outputs]) => inputs * outputs)),
    within: 0,
    macsFrom: 'from tables 1 and 2 of Zhang et al., NIPS 2015',
  },
};
