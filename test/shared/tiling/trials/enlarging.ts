import type { Dice } from '../dice.ts';
import type { Network } from '../network.ts';
import { FLOATS, float, given, type Trial } from './trial.ts';

/** The axes that are resized, with the scale of each: the last two, or channels as well; all axes, or (18) some. */
function scaling(dice: Dice): number[] {
  const channels = dice.pick(1, 1, 1, 1, 2);
  return [1, channels, dice.pick(2, 1, 3, 0.5, 0.25, 1.5, 0.7, 1.03), dice.pick(2, 1, 3, 0.5, 1.7, 0.6, 1.2)];
}

const none = (net: Network): string => (net.opset < 13 ? net.values('float32', [0], []) : '');

export const ENLARGING_TRIALS: readonly Trial[] = [
  {
    op: 'Resize',
    opsets: [10, 11, 13, 17, 18, 19],
    build(net, dice) {
      const shape = [1, 4, dice.int(4, 12), dice.int(4, 12)];
      const x = net.input(shape, dice.pick('float32', 'float32', 'float16', 'uint8', 'float64', 'int32', 'int8'));
      const scales = scaling(dice);
      if (net.opset === 10) {
        const mode = dice.pick(undefined, 'nearest', 'linear');
        return [net.op('Resize', [x, net.values('float32', [4], scales)], given({ mode }))];
      }
      const some = net.opset >= 18 && dice.int(0, 3) === 0;
      const kept = some ? [2, 3] : [0, 1, 2, 3];
      const bySizes = dice.int(0, 1) === 1;
      const sizes = kept.map((axis) => Math.max(1, Math.floor(shape[axis]! * scales[axis]!)));
      const target = bySizes
        ? [none(net), net.ints(...sizes)]
        : [
            net.values(
              'float32',
              [kept.length],
              kept.map((axis) => scales[axis]!),
            ),
          ];
      const crops = dice.int(0, 9) === 0;
      const roi = net.values('float32', [2 * kept.length], [...kept.map(() => 0.1), ...kept.map(() => 0.8)]);
      const attributes = {
        mode: dice.pick(undefined, 'nearest', 'linear', 'linear', 'cubic'),
        coordinate_transformation_mode: crops
          ? 'tf_crop_and_resize'
          : dice.pick(
              undefined,
              'half_pixel',
              'pytorch_half_pixel',
              'align_corners',
              'asymmetric',
              ...(net.opset < 13 ? ['tf_half_pixel_for_nn'] : []),
              ...(net.opset >= 19 ? ['half_pixel_symmetric'] : []),
            ),
        nearest_mode: dice.pick(undefined, undefined, 'round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'),
        cubic_coeff_a: dice.pick(undefined, undefined, float(-0.5)),
        exclude_outside: dice.pick(undefined, undefined, 0, 1),
        extrapolation_value: dice.pick(undefined, undefined, float(3)),
        antialias: net.opset >= 18 ? dice.pick(undefined, undefined, 0, 1) : undefined,
        axes: some ? dice.pick([2, 3], [-2, -1], [2, 3]) : undefined,
        keep_aspect_ratio_policy:
          net.opset >= 18 ? dice.pick(undefined, undefined, 'stretch', 'not_larger', 'not_smaller') : undefined,
      };
      return [net.op('Resize', [x, crops ? roi : none(net), ...target], given(attributes))];
    },
  },
  {
    op: 'Upsample',
    opsets: [7, 8, 9],
    build(net, dice) {
      const x = net.input([1, 4, dice.int(4, 12), dice.int(4, 12)], dice.pick('float32', 'float16', 'uint8', 'int32'));
      const scales = scaling(dice).map((scale) => Math.max(1, scale));
      const mode = dice.pick(undefined, 'nearest', 'linear', ...(net.opset < 9 ? ['bilinear'] : []));
      if (net.opset < 9) return [net.op('Upsample', [x], given({ mode, scales: { floats: scales } }))];
      return [net.op('Upsample', [x, net.values('float32', [4], scales)], given({ mode }))];
    },
  },
  {
    op: 'DepthToSpace',
    opsets: [7, 11, 13],
    build(net, dice) {
      const block = dice.int(1, 3);
      const x = net.input(
        [dice.int(1, 2), 2 * block ** 2, dice.int(3, 9), dice.int(3, 9)],
        dice.pick('float32', 'float64', 'uint8', 'float16'),
      );
      const mode = net.opset < 11 ? undefined : dice.pick(undefined, 'DCR', 'CRD');
      return [net.op('DepthToSpace', [x], given({ blocksize: block, mode }))];
    },
  },
  {
    op: 'SpaceToDepth',
    opsets: [7, 13],
    build(net, dice) {
      const block = dice.int(1, 3);
      const x = net.input([1, 2, block * dice.int(2, 5), block * dice.int(2, 5)], dice.pick(...FLOATS));
      return [net.op('SpaceToDepth', [x], { blocksize: block })];
    },
  },
];
