import { type Family, picture } from './architecture.ts';
import type { NetworkBuilder, Value } from './builder.ts';

/** Values of one box: place, size, and whether there is something. */
const BOX = 5;
const COCO_CLASSES = 80;
const VOC_CLASSES = 20;

/** Convolutions one after another, each with batch normalisation and a leaky ReLU. */
function layers(
  net: NetworkBuilder,
  x: Value,
  ...list: readonly (readonly [channels: number, size: number, stride?: number])[]
): Value {
  for (const [channels, size, stride = 1] of list) {
    const pads = (size - 1) / 2;
    x = net.leaky(net.batchNorm(net.conv(x, channels, size, { stride, pads }), 1e-5));
  }
  return x;
}

function pool(net: NetworkBuilder, x: Value): Value {
  return net.maxPool(x, 2, { stride: 2 });
}

function boxes(net: NetworkBuilder, x: Value, anchors: number, classes: number): Value {
  return net.conv(x, { exactly: anchors * (BOX + classes) }, 1, { bias: true });
}

/** Residual blocks of each stage of Darknet-53 (YOLOv3, table 1). */
const REPEATS = [1, 2, 8, 8, 4] as const;

/** The convolutions of Darknet-53; what its stages make. */
function darknet53(net: NetworkBuilder): Value[] {
  let x = layers(net, net.input, [32, 3]);
  const gain = 1 / Math.sqrt(REPEATS.reduce<number>((sum, count) => sum + count, 0));
  return REPEATS.map((count, stage) => {
    const channels = 64 * 2 ** stage;
    x = layers(net, x, [channels, 3, 2]);
    for (let block = 0; block < count; block++) {
      const inner = layers(net, x, [channels / 2, 1]);
      const made = net.leaky(net.batchNorm(net.conv(inner, channels, 3, { gain }), 1e-5));
      x = { ...net.add(x, made), isRectified: true };
    }
    return x;
  });
}

/** Five convolutions, the last of which the next scale reads too; and the boxes of this scale. */
function scaleOf(net: NetworkBuilder, x: Value, channels: number): { readonly next: Value; readonly boxes: Value } {
  const wide = 2 * channels;
  const next = layers(net, x, [channels, 1], [wide, 3], [channels, 1], [wide, 3], [channels, 1]);
  return { next, boxes: boxes(net, layers(net, next, [wide, 3]), 3, COCO_CLASSES) };
}

/** A 1x1 convolution, enlarged to twice the size and joined with an earlier map. */
function joined(net: NetworkBuilder, x: Value, channels: number, earlier: Value): Value {
  const narrow = layers(net, x, [channels, 1]);
  const [n, c, h, w] = narrow.shape as [number, number, number, number];
  const scales = net.constant('float32', [4], [1, 1, 2, 2]);
  const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  const large = net.op('Resize', [narrow, '', scales], [n, c, 2 * h, 2 * w], attributes);
  return net.concat([{ ...narrow, ...large }, earlier]);
}

/** Darknet-53, YOLOv3 on it, YOLOv2 and tiny YOLO. Boxes leave as the last convolutions make them. */
export const YOLO: Family = {
  'darknet-53': {
    input: picture(256),
    task: 'classify',
    source: 'Redmon and Farhadi, YOLOv3, 2018, table 1',
    layers: (net) => [net.classify(darknet53(net).at(-1)!)],
  },
  'yolo-v3': {
    input: picture(416),
    task: 'detect',
    source: 'Redmon and Farhadi, YOLOv3, 2018: yolov3.cfg, COCO',
    layers(net) {
      const [, , small, middle, last] = darknet53(net);
      const first = scaleOf(net, last!, 512);
      const second = scaleOf(net, joined(net, first.next, 256, middle!), 256);
      const third = scaleOf(net, joined(net, second.next, 128, small!), 128);
      return [first.boxes, second.boxes, third.boxes];
    },
  },
  'yolo-v2': {
    input: picture(608),
    task: 'detect',
    source:
      'Redmon and Farhadi, CVPR 2017: yolov2.cfg, COCO; with the cells of the passthrough in the order of SpaceToDepth',
    layers(net) {
      let x = pool(net, layers(net, net.input, [32, 3]));
      x = pool(net, layers(net, x, [64, 3]));
      x = pool(net, layers(net, x, [128, 3], [64, 1], [128, 3]));
      x = pool(net, layers(net, x, [256, 3], [128, 1], [256, 3]));
      const passed = layers(net, x, [512, 3], [256, 1], [512, 3], [256, 1], [512, 3]);
      x = layers(net, pool(net, passed), [1024, 3], [512, 1], [1024, 3], [512, 1], [1024, 3], [1024, 3], [1024, 3]);
      const narrow = layers(net, passed, [64, 1]);
      const [n, c, h, w] = narrow.shape as [number, number, number, number];
      const folded = net.op('SpaceToDepth', [narrow], [n, 4 * c, h / 2, w / 2], { blocksize: 2 });
      x = layers(net, net.concat([{ ...narrow, ...folded }, x]), [1024, 3]);
      return [boxes(net, x, 5, COCO_CLASSES)];
    },
  },
  'tiny-yolo-v2': {
    input: picture(416),
    task: 'detect',
    source: 'Redmon and Farhadi, CVPR 2017: yolov2-tiny-voc.cfg, PASCAL VOC',
    layers(net) {
      let x = net.input;
      for (const channels of [16, 32, 64, 128, 256]) x = pool(net, layers(net, x, [channels, 3]));
      x = net.maxPool(layers(net, x, [512, 3]), 2);
      return [boxes(net, layers(net, x, [1024, 3], [1024, 3]), 5, VOC_CLASSES)];
    },
  },
};
