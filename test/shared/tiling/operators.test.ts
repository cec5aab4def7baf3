import { describe, expect, test } from 'vitest';
import { findTileable } from '../../../shared/tiling/tileable.ts';
import { expectLossless, type GridSizes, Network, type Plain } from './network.ts';

/** A network with one operator under test between two convolutions, so that its tiles have halos on both sides. */
type Build = (net: Network, x: string) => string;

/** x [1, 4, 17, 14] -> conv 3x3 -> the operator. */
function around(build: Build, opset = 17, shape: readonly number[] = [1, 4, 17, 14]) {
  const net = new Network(opset);
  const x = net.input(shape);
  const before = net.conv(x, 4, 4, [3, 3], { pads: [1, 1, 1, 1] });
  return net.resolve(build(net, before));
}

function pool(op: string, attributes: Record<string, Plain>): Build {
  return (net, x) => net.op(op, [x], attributes);
}

/** The operator, then a convolution with `channels` input channels, so that the operator's output needs a halo. */
function then(channels: number, build: Build): Build {
  return (net, x) => net.conv(build(net, x), channels, 2, [3, 3], { pads: [1, 1, 1, 1] });
}

const WINDOWS: [string, Build][] = [
  ['conv without pads', (net, x) => net.conv(x, 4, 3, [3, 3])],
  ['conv 1x1 with stride 2', then(3, (net, x) => net.conv(x, 4, 3, [1, 1], { strides: [2, 2] }))],
  ['conv 1x1 with pads', then(3, (net, x) => net.conv(x, 4, 3, [1, 1], { pads: [2, 1, 1, 2] }))],
  ['conv 7x7 with stride 2', then(3, (net, x) => net.conv(x, 4, 3, [7, 7], { pads: [3, 3, 3, 3], strides: [2, 2] }))],
  [
    'conv 5x3 with stride 3x2 and uneven pads',
    (net, x) => net.conv(x, 4, 3, [5, 3], { pads: [2, 0, 1, 2], strides: [3, 2] }),
  ],
  ['conv with dilations', then(4, (net, x) => net.conv(x, 4, 4, [3, 3], { pads: [2, 3, 2, 3], dilations: [2, 3] }))],
  ['conv in groups', then(8, (net, x) => net.conv(x, 4, 8, [3, 3], { pads: [1, 1, 1, 1], group: 2 }))],
  ['conv depthwise', then(4, (net, x) => net.conv(x, 4, 4, [3, 3], { pads: [1, 1, 1, 1], group: 4, strides: [2, 2] }))],
  [
    'conv 1x7 then 7x1',
    (net, x) => net.conv(net.conv(x, 4, 4, [1, 7], { pads: [0, 3, 0, 3] }), 4, 4, [7, 1], { pads: [3, 0, 3, 0] }),
  ],
  ['conv SAME_UPPER', then(3, (net, x) => net.conv(x, 4, 3, [4, 4], { auto_pad: 'SAME_UPPER', strides: [2, 2] }))],
  ['conv SAME_LOWER', then(3, (net, x) => net.conv(x, 4, 3, [4, 4], { auto_pad: 'SAME_LOWER', strides: [2, 3] }))],
  ['conv VALID', then(3, (net, x) => net.conv(x, 4, 3, [3, 3], { auto_pad: 'VALID', strides: [2, 2] }))],
  ['max pool 3x3/2 with ceil_mode', then(4, pool('MaxPool', { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 }))],
  ['max pool 3x3 with pads', then(4, pool('MaxPool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }))],
  ['max pool with dilations', pool('MaxPool', { kernel_shape: [3, 2], dilations: [2, 2], pads: [1, 1, 1, 0] })],
  ['max pool SAME_UPPER', pool('MaxPool', { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_UPPER' })],
  ['average pool 2x2/2', then(4, pool('AveragePool', { kernel_shape: [2, 2], strides: [2, 2] }))],
  [
    'average pool with pads, border not counted',
    then(4, pool('AveragePool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })),
  ],
  [
    'average pool with pads, border counted',
    then(4, pool('AveragePool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1], count_include_pad: 1 })),
  ],
  ['average pool with ceil_mode', pool('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 })],
  [
    'average pool with ceil_mode and border counted',
    pool('AveragePool', {
      kernel_shape: [3, 3],
      strides: [2, 2],
      pads: [0, 1, 0, 1],
      ceil_mode: 1,
      count_include_pad: 1,
    }),
  ],
  ['average pool SAME_UPPER', pool('AveragePool', { kernel_shape: [3, 3], strides: [2, 2], auto_pad: 'SAME_UPPER' })],
  ['lp pool', then(4, pool('LpPool', { kernel_shape: [3, 3], pads: [1, 1, 1, 1], p: 2 }))],
];

const ENLARGING: [string, Build][] = [
  [
    'ConvTranspose 2x2/2',
    then(3, (net, x) => net.op('ConvTranspose', [x, net.weight(4, 3, 2, 2), net.weight(3)], { strides: [2, 2] })),
  ],
  [
    'ConvTranspose 4x4/2 with pads',
    then(3, (net, x) => net.op('ConvTranspose', [x, net.weight(4, 3, 4, 4)], { strides: [2, 2], pads: [1, 1, 1, 1] })),
  ],
  [
    'ConvTranspose 3x3/2 with output_padding',
    then(3, (net, x) =>
      net.op('ConvTranspose', [x, net.weight(4, 3, 3, 3)], {
        strides: [2, 2],
        pads: [1, 1, 1, 1],
        output_padding: [1, 1],
      }),
    ),
  ],
  [
    'ConvTranspose in groups with dilations',
    (net, x) =>
      net.op('ConvTranspose', [x, net.weight(4, 1, 3, 3)], {
        strides: [1, 2],
        dilations: [2, 1],
        group: 2,
        pads: [1, 0, 2, 1],
      }),
  ],
  [
    'ConvTranspose SAME_UPPER',
    (net, x) => net.op('ConvTranspose', [x, net.weight(4, 3, 3, 3)], { strides: [2, 2], auto_pad: 'SAME_UPPER' }),
  ],
  [
    'ConvTranspose SAME_LOWER',
    (net, x) => net.op('ConvTranspose', [x, net.weight(4, 3, 3, 3)], { strides: [2, 2], auto_pad: 'SAME_LOWER' }),
  ],
  [
    'ConvTranspose with output_shape',
    (net, x) => net.op('ConvTranspose', [x, net.weight(4, 3, 4, 4)], { strides: [2, 2], output_shape: [34, 28] }),
  ],
  ['DepthToSpace DCR', then(1, (net, x) => net.op('DepthToSpace', [x], { blocksize: 2 }))],
  ['DepthToSpace CRD', then(1, (net, x) => net.op('DepthToSpace', [x], { blocksize: 2, mode: 'CRD' }))],
];

function resizing(scales: readonly number[], attributes: Record<string, Plain>): Build {
  return (net, x) => net.op('Resize', [x, '', net.values('float32', [4], [1, 1, ...scales])], attributes);
}

for (const mode of ['nearest', 'linear', 'cubic'])
  for (const coordinates of ['half_pixel', 'asymmetric', 'pytorch_half_pixel'])
    for (const scales of [
      [2, 3],
      [4, 1],
    ])
      ENLARGING.push([
        `Resize ${mode} ${coordinates} x${scales}`,
        then(4, resizing(scales, { mode, coordinate_transformation_mode: coordinates })),
      ]);
for (const nearest of ['round_prefer_ceil', 'floor', 'ceil'])
  ENLARGING.push([
    `Resize nearest asymmetric ${nearest}`,
    then(4, resizing([2, 3], { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: nearest })),
  ]);
ENLARGING.push(
  ['Resize nearest half_pixel floor', then(4, resizing([3, 2], { mode: 'nearest', nearest_mode: 'floor' }))],
  ['Resize to sizes', then(4, (net, x) => net.op('Resize', [x, '', '', net.ints(1, 4, 34, 28)], { mode: 'linear' }))],
  [
    'Resize by a half, in single cells',
    resizing([0.5, 0.25], { mode: 'nearest', coordinate_transformation_mode: 'pytorch_half_pixel' }),
  ],
  ['Resize by a half, linear', then(4, resizing([0.5, 0.5], { mode: 'linear' }))],
  [
    'Resize by a quarter, nearest',
    resizing([0.25, 0.5], { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' }),
  ],
);

/** Resize to exactly [1, 4, rows, cols]. */
function resizingTo(sizes: readonly number[], attributes: Record<string, Plain>): Build {
  return (net, x) => net.op('Resize', [x, '', '', net.ints(1, 4, ...sizes)], attributes);
}

for (const mode of ['nearest', 'linear', 'cubic'])
  for (const coordinates of ['align_corners', 'half_pixel', 'pytorch_half_pixel', 'asymmetric'])
    for (const sizes of [
      [34, 28],
      [33, 27],
      [18, 9],
    ]) {
      const attributes = { mode, coordinate_transformation_mode: coordinates };
      ENLARGING.push([`Resize ${mode} ${coordinates} to ${sizes}`, then(4, resizingTo(sizes, attributes))]);
    }
for (const nearest of ['round_prefer_ceil', 'floor', 'ceil'])
  ENLARGING.push([
    `Resize nearest half_pixel ${nearest} by no whole factor`,
    then(4, resizingTo([41, 11], { mode: 'nearest', nearest_mode: nearest })),
  ]);
ENLARGING.push(
  [
    'Resize to one row',
    then(4, resizingTo([1, 9], { mode: 'linear', coordinate_transformation_mode: 'align_corners' })),
  ],
  ['Resize of rows only', then(4, resizingTo([23, 14], { mode: 'linear' }))],
  ['Resize of columns only', then(4, resizingTo([17, 23], { mode: 'linear' }))],
  ['Resize by a scale that is not out / in', then(4, resizing([1.97, 1.55], { mode: 'linear' }))],
  ['Resize by a scale, size kept', then(4, resizing([1.03, 1.02], { mode: 'linear' }))],
  [
    'Resize of bytes, nearest, by no whole factor',
    then(4, (net, x) => {
      const parameters = [net.values('float32', [], [0.05]), net.values('uint8', [], [128])];
      const small = resizingTo([13, 20], { mode: 'nearest' })(net, net.op('QuantizeLinear', [x, ...parameters]));
      return net.op('DequantizeLinear', [small, ...parameters]);
    }),
  ],
  [
    'classic U-Net: pool, convolve, enlarge with aligned corners, join the skip',
    (net, x) => {
      const pads = [1, 1, 1, 1];
      const down = net.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
      const deep = net.op('Relu', [net.conv(down, 4, 6, [3, 3], { pads })]);
      const target = net.ints(1, 6, 17, 14);
      const up = net.op('Resize', [deep, '', '', target], {
        mode: 'linear',
        coordinate_transformation_mode: 'align_corners',
      });
      return net.conv(net.op('Concat', [x, up], { axis: 1 }), 10, 3, [3, 3], { pads });
    },
  ],
);

const CELLWISE: [string, Build][] = [
  [
    'batch normalisation',
    (net, x) =>
      net.op('BatchNormalization', [
        x,
        net.weight(4),
        net.weight(4),
        net.weight(4),
        net.values('float32', [4], [1, 2, 3, 4]),
      ]),
  ],
  ['LRN', (net, x) => net.op('LRN', [x], { size: 3 })],
  ['PRelu', (net, x) => net.op('PRelu', [x, net.weight(4, 1, 1)])],
  ['Clip', (net, x) => net.op('Clip', [x, net.values('float32', [], [-0.5]), net.values('float32', [], [0.5])])],
  ['a constant that varies in space', (net, x) => net.op('Add', [x, net.weight(17, 14)])],
  ['a constant that varies along columns', (net, x) => net.op('Mul', [net.weight(1, 4, 1, 14), x])],
  ['Softmax over channels', (net, x) => net.op('Softmax', [x], { axis: 1 })],
  ['ReduceMean over channels', (net, x) => net.op('ReduceMean', [x], { axes: [1], keepdims: 0 })],
  ['ArgMax over channels', (net, x) => net.op('ArgMax', [x], { axis: 1 })],
  [
    'Where',
    (net, x) => net.op('Where', [net.op('Greater', [x, net.values('float32', [], [0])]), x, net.op('Neg', [x])]),
  ],
  ['Min of three', (net, x) => net.op('Min', [x, net.op('Relu', [x]), net.weight(4, 1, 1)])],
  [
    'quantised and back',
    (net, x) => {
      const parameters = [net.values('float32', [], [0.05]), net.values('uint8', [], [128])];
      return net.op('DequantizeLinear', [net.op('QuantizeLinear', [x, ...parameters]), ...parameters]);
    },
  ],
  [
    'a convolution of bytes, padded with the zero point',
    (net, x) => {
      const scale = net.values('float32', [], [0.05]);
      const zero = net.values('uint8', [], [117]);
      const q = net.op('QuantizeLinear', [x, scale, zero]);
      const w = net.values(
        'uint8',
        [2, 4, 3, 3],
        Array.from({ length: 72 }, (_, i) => (i * 37) % 251),
      );
      const y = net.op('QLinearConv', [q, scale, zero, w, scale, zero, net.values('float32', [], [0.5]), zero], {
        pads: [1, 1, 1, 1],
      });
      const sums = net.op('ConvInteger', [q, w, zero, zero], { pads: [1, 1, 1, 1] });
      return net.op('Add', [net.op('DequantizeLinear', [y, scale, zero]), net.op('Cast', [sums], { to: 1 })]);
    },
  ],
  [
    'a max pool of bytes',
    (net, x) => {
      const parameters = [net.values('float32', [], [0.05]), net.values('uint8', [], [128])];
      const q = net.op('QuantizeLinear', [x, ...parameters]);
      return net.op('DequantizeLinear', [
        net.op('MaxPool', [q], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
        ...parameters,
      ]);
    },
  ],
];

const MOVING: [string, Build][] = [
  [
    'pad before a pool, of what is not negative (Keras)',
    (net, x) => {
      const padded = net.op('Pad', [net.op('Relu', [x]), net.ints(0, 0, 1, 1, 0, 0, 1, 1)]);
      return net.op('MaxPool', [padded], { kernel_shape: [3, 3], strides: [2, 2] });
    },
  ],
  [
    'residual add',
    (net, x) =>
      net.op('Add', [
        net.conv(net.op('Relu', [net.conv(x, 4, 4, [3, 3], { pads: [1, 1, 1, 1] })]), 4, 4, [3, 3], {
          pads: [1, 1, 1, 1],
        }),
        x,
      ]),
  ],
  [
    'inception',
    (net, x) => {
      const a = net.conv(x, 4, 2, [1, 1]);
      const b = net.conv(net.conv(x, 4, 2, [1, 1]), 2, 3, [5, 5], { pads: [2, 2, 2, 2] });
      const c = net.conv(net.op('MaxPool', [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }), 4, 3, [1, 1]);
      return net.op('Concat', [a, b, c], { axis: 1 });
    },
  ],
  [
    'split and shuffle',
    (net, x) => {
      const left = net.op('Split', [x, net.ints(1, 3)], { axis: 1 }, 2);
      const right = net.conv(`${left}.1`, 3, 3, [3, 3], { pads: [1, 1, 1, 1] });
      const joined = net.op('Concat', [left, right], { axis: 1 });
      const grouped = net.op('Reshape', [joined, net.ints(1, 2, 2, 17, 14)]);
      const turned = net.op('Transpose', [grouped], { perm: [0, 2, 1, 3, 4] });
      return net.conv(net.op('Reshape', [turned, net.ints(1, 4, 17, 14)]), 4, 2, [3, 3], { pads: [1, 1, 1, 1] });
    },
  ],
  [
    'shuffle over a folded map (as ShuffleNet v2 is exported)',
    (net, x) => {
      const folded = net.op('Transpose', [net.op('Reshape', [x, net.ints(2, 2, 17 * 14)])], { perm: [1, 0, 2] });
      const pairs = net.op('Reshape', [folded, net.ints(2, 1, 2, 17, 14)]);
      const a = net.op('Gather', [pairs, net.values('int64', [], [0])], { axis: 0 });
      const b = net.op('Gather', [pairs, net.values('int64', [], [1])], { axis: 0 });
      return net.op('Concat', [a, net.conv(b, 2, 2, [3, 3], { pads: [1, 1, 1, 1] })], { axis: 1 });
    },
  ],
  [
    'pixel shuffle written with Reshape and Transpose',
    then(1, (net, x) => {
      const blocks = net.op('Transpose', [net.op('Reshape', [x, net.ints(1, 1, 2, 2, 17, 14)])], {
        perm: [0, 1, 4, 2, 5, 3],
      });
      return net.op('Reshape', [blocks, net.ints(1, 1, 34, 28)]);
    }),
  ],
  [
    'channels last and back, with a matrix',
    (net, x) => {
      const last = net.op('MatMul', [net.op('Transpose', [x], { perm: [0, 2, 3, 1] }), net.weight(4, 3)]);
      return net.op('Transpose', [net.op('Softmax', [last], { axis: -1 })], { perm: [0, 3, 1, 2] });
    },
  ],
  [
    'slice with steps (ResNet option A)',
    (net, x) => net.op('Slice', [x, net.ints(0, 1), net.ints(99, 99), net.ints(2, 3), net.ints(2, 2)]),
  ],
  [
    'slice that crops',
    then(2, (net, x) => net.op('Slice', [x, net.ints(1, 2, -9), net.ints(3, -1, 99), net.ints(1, 2, 3)])),
  ],
  [
    'focus (YOLOv5)',
    (net, x) => {
      const cropped = net.op('Slice', [x, net.ints(0), net.ints(16), net.ints(2)]);
      const part = (row: number, col: number) =>
        net.op('Slice', [
          cropped,
          net.ints(row, col),
          net.ints(2 ** 31 - 1, 2 ** 31 - 1),
          net.ints(2, 3),
          net.ints(2, 2),
        ]);
      return net.conv(net.op('Concat', [part(0, 0), part(1, 0), part(0, 1), part(1, 1)], { axis: 1 }), 16, 2, [3, 3], {
        pads: [1, 1, 1, 1],
      });
    },
  ],
  ['pad of channels', (net, x) => net.op('Pad', [x, net.ints(0, 1, 0, 0, 0, 2, 0, 0)])],
  [
    'pad of rows and columns',
    then(4, (net, x) => net.op('Pad', [x, net.ints(0, 0, 2, 1, 0, 0, 3, 0), net.values('float32', [], [0.5])])),
  ],
  ...['reflect', 'edge'].map((mode): [string, Build] => [
    `pad of rows and columns, ${mode}`,
    then(4, (net, x) => net.op('Pad', [x, net.ints(0, 0, 3, 2, 0, 0, 1, 4)], { mode })),
  ]),
  [
    'pad of columns and channels with their own cells',
    then(6, (net, x) => net.op('Pad', [x, net.ints(0, 1, 0, 2, 0, 1, 0, 3)], { mode: 'reflect' })),
  ],
  [
    'mirrored borders one after another (style transfer)',
    (net, x) => {
      const block = (y: string) => {
        const padded = net.op('Pad', [y, net.ints(0, 0, 1, 1, 0, 0, 1, 1)], { mode: 'reflect' });
        return net.op('Relu', [net.conv(padded, 4, 4, [3, 3])]);
      };
      return net.op('Add', [block(block(x)), x]);
    },
  ],
  ['pad of everything', then(6, (net, x) => net.op('Pad', [x, net.ints(0, 1, 4, 1, 0, 1, 0, 5)]))],
  [
    'SpaceToDepth',
    then(16, (net, x) =>
      net.op('SpaceToDepth', [net.op('Slice', [x, net.ints(0), net.ints(16), net.ints(2)])], { blocksize: 2 }),
    ),
  ],
  [
    'squeeze and unsqueeze',
    (net, x) =>
      net.op('Squeeze', [
        net.op('MaxPool', [net.op('Unsqueeze', [net.conv(x, 4, 1, [1, 1]), net.ints(0)])], {
          kernel_shape: [1, 3, 3],
          pads: [0, 1, 1, 0, 1, 1],
        }),
        net.ints(0),
      ]),
  ],
];

describe.each([
  ['windows', WINDOWS],
  ['enlarging operators', ENLARGING],
  ['cell by cell', CELLWISE],
  ['moving data', MOVING],
] as const)('tiles with halo equal the whole: %s', (_, cases) => {
  test.each(cases)('%s', async (_, build) => {
    await expectLossless(around(build));
  });
});

describe('with antialias an axis that keeps its size is copied, whatever its scale', () => {
  test.each(['linear', 'cubic'])('Resize %s', async (mode) => {
    for (const scales of [
      [1.03, 2],
      [1.5, 1.02],
    ])
      await expectLossless(around(then(4, resizing(scales, { mode, antialias: 1 })), 19));
  });
});

describe('every operator set from 7 on', () => {
  const scales = (net: Network) => net.values('float32', [4], [1, 1, 2, 2]);
  const versions: [number, string, Build][] = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21].map((opset) => [
    opset,
    'a residual block with pooling',
    (net, x) => {
      const pooled = net.op('MaxPool', [net.op('Relu', [x])], {
        kernel_shape: [3, 3],
        strides: [2, 2],
        pads: [1, 1, 1, 1],
      });
      const branch = net.conv(net.conv(pooled, 4, 4, [3, 3], { pads: [1, 1, 1, 1] }), 4, 4, [3, 3], {
        pads: [1, 1, 1, 1],
      });
      return net.op('AveragePool', [net.op('Add', [branch, pooled])], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
    },
  ]);
  versions.push(
    [
      7,
      'Upsample',
      then(4, (net, x) => net.op('Upsample', [x], { scales: { floats: [1, 1, 2, 2] }, mode: 'nearest' })),
    ],
    [9, 'Upsample', then(4, (net, x) => net.op('Upsample', [x, scales(net)], { mode: 'linear' }))],
    [10, 'Resize', then(4, (net, x) => net.op('Resize', [x, scales(net)], { mode: 'linear' }))],
    [
      11,
      'Resize',
      then(4, (net, x) => net.op('Resize', [x, net.values('float32', [0], []), scales(net)], { mode: 'linear' })),
    ],
    [
      18,
      'Resize of some axes',
      then(4, (net, x) =>
        net.op('Resize', [x, '', net.values('float32', [2], [2, 3])], { mode: 'linear', axes: [2, 3] }),
      ),
    ],
    [
      9,
      'Upsample by no whole factor',
      then(4, (net, x) => net.op('Upsample', [x, net.values('float32', [4], [1, 1, 1.5, 1.7])], { mode: 'linear' })),
    ],
    [
      10,
      'Resize by no whole factor',
      then(4, (net, x) => net.op('Resize', [x, net.values('float32', [4], [1, 1, 0.6, 1.7])], { mode: 'nearest' })),
    ],
    [
      11,
      'Resize with aligned corners',
      then(4, (net, x) => {
        const none = net.values('float32', [0], []);
        return net.op('Resize', [x, none, none, net.ints(1, 4, 33, 29)], {
          mode: 'linear',
          coordinate_transformation_mode: 'align_corners',
        });
      }),
    ],
    [10, 'Pad reflect', then(4, (net, x) => net.op('Pad', [x], { pads: [0, 0, 2, 1, 0, 0, 1, 3], mode: 'reflect' }))],
    [9, 'Slice', then(4, (net, x) => net.op('Slice', [x], { starts: [1, 0], ends: [100, -2], axes: [2, 3] }))],
    [7, 'Pad', then(4, (net, x) => net.op('Pad', [x], { pads: [0, 0, 1, 2, 0, 0, 0, 1], value: { float: 0.25 } }))],
    [
      11,
      'ArgMax, cropped as whole numbers',
      (net, x) =>
        net.op('Add', [
          net.op('ArgMax', [x], { axis: 1 }),
          net.op('ArgMax', [net.conv(x, 4, 3, [3, 3], { pads: [1, 1, 1, 1] })], { axis: 1 }),
        ]),
    ],
    [
      8,
      'ArgMax, cropped as whole numbers',
      (net, x) =>
        net.op('Add', [
          net.op('ArgMax', [x], { axis: 1 }),
          net.op('ArgMax', [net.conv(x, 4, 3, [3, 3], { pads: [1, 1, 1, 1] })], { axis: 1 }),
        ]),
    ],
    [
      10,
      'Split and Clip',
      (net, x) =>
        net.op('Clip', [net.op('Split', [x], { axis: 1, split: [1, 3] }, 2)], {
          min: { float: -0.5 },
          max: { float: 0.5 },
        }),
    ],
    [
      9,
      'Squeeze and Unsqueeze',
      (net, x) => net.op('Squeeze', [net.op('Unsqueeze', [x], { axes: [0] })], { axes: [0] }),
    ],
    [
      11,
      'Resize nearest tf_half_pixel_for_nn',
      then(4, (net, x) =>
        net.op('Resize', [x, net.values('float32', [0], []), scales(net)], {
          coordinate_transformation_mode: 'tf_half_pixel_for_nn',
          nearest_mode: 'floor',
        }),
      ),
    ],
    [18, 'ReduceMean with axes as input', (net, x) => net.op('ReduceMean', [x, net.ints(1)])],
    [
      12,
      'Softmax over a channel axis that comes last',
      (net, x) => net.op('Softmax', [net.op('Transpose', [x], { perm: [0, 2, 3, 1] })], { axis: 3 }),
    ],
  );
  test.each(versions)('version %i: %s', async (opset, _, build) => {
    await expectLossless(around(build, opset));
  });
});

describe('shapes of inputs', () => {
  test('a 1-D network has columns only', async () => {
    const net = new Network();
    const x = net.input([1, 3, 40]);
    const a = net.op('MaxPool', [net.conv(x, 3, 4, [5], { pads: [2, 2], strides: [2] })], {
      kernel_shape: [3],
      pads: [1, 1],
    });
    await expectLossless(net.resolve(net.conv(a, 4, 2, [3], { dilations: [2], pads: [2, 2] })));
  });

  test('a frame of bytes, channels last, is cut along its rows and columns', async () => {
    const net = new Network();
    const x = net.input([1, 16, 20, 3], 'uint8');
    const planes = net.op('Cast', [net.op('Transpose', [x], { perm: [0, 3, 1, 2] })], { to: 1 });
    const resolved = net.resolve(
      net.conv(net.op('Mul', [planes, net.weight(3, 1, 1)]), 3, 2, [3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] }),
    );
    await expectLossless(resolved);
  });

  test('a picture without channels gets them inside', async () => {
    const net = new Network();
    const planes = net.op('Unsqueeze', [net.input([1, 12, 14]), net.ints(1)]);
    const resolved = net.resolve(net.conv(planes, 1, 2, [3, 3], { pads: [1, 1, 1, 1] }));
    await expectLossless(resolved, undefined, [[3, 3]]);
    const layout = findTileable(resolved, ['x0']).layouts.get('x0');
    expect(layout).toEqual({ h: 1, w: 2, rows: 12, cols: 14 });
  });

  test('several inputs and outputs of different strides', async () => {
    const net = new Network();
    const a = net.input([1, 2, 16, 16]);
    const b = net.input([1, 3, 8, 8]);
    const down = net.conv(a, 2, 3, [3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] });
    const sum = net.op('Add', [down, b]);
    const small = net.conv(sum, 3, 2, [3, 3], { pads: [1, 1, 1, 1], strides: [2, 2] });
    const up = net.op('Resize', [small, '', net.values('float32', [4], [1, 1, 4, 4])], { mode: 'linear' });
    await expectLossless(net.resolve(small, sum, net.op('Concat', [up, a], { axis: 1 })));
  });

  test('a per-channel factor from an earlier stage goes whole to every tile', async () => {
    const net = new Network();
    const x = net.input([1, 4, 9, 9]);
    const s = net.input([1, 4, 1, 1]);
    await expectLossless(net.resolve(net.conv(net.op('Mul', [x, s]), 4, 2, [3, 3], { pads: [1, 1, 1, 1] })));
  });

  test('an output with fewer rows but more cells than the reference leaves some tiles with nothing', async () => {
    const net = new Network();
    const x = net.input([1, 2, 16, 16]);
    const flat = net.conv(x, 2, 2, [3, 3], { pads: [1, 1, 1, 1], strides: [8, 1] });
    const narrow = net.conv(x, 2, 2, [3, 3], { pads: [1, 1, 1, 1], strides: [2, 8] });
    await expectLossless(net.resolve(flat, narrow), undefined, [
      [8, 2],
      [3, 1],
    ]);
  });
});

describe('corners of the geometry', () => {
  const singleCells: GridSizes = [99, 99];

  test('tiles that lie entirely in the padding', async () => {
    const wide = { pads: [5, 4, 3, 6] };
    for (const build of [
      (net: Network, x: string) =>
        net.op('Pad', [x, net.ints(0, 0, 5, 4, 0, 0, 3, 6), net.values('float32', [], [0.5])]),
      (net: Network, x: string) => net.conv(x, 4, 2, [1, 1], wide),
      (net: Network, x: string) =>
        net.conv(net.conv(x, 4, 2, [1, 1], { ...wide, strides: [2, 3] }), 2, 2, [1, 1], wide),
    ])
      await expectLossless(around(build, 17, [1, 4, 6, 5]), undefined, [singleCells, [1, 1], [3, 4]]);
  });

  test('the same window over the same map, padded with 0 for one operator and -inf for the other', async () => {
    const resolved = around((net, x) => {
      const below = net.op('Sub', [x, net.values('float32', [], [9])]);
      const pooled = net.op('MaxPool', [below], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] });
      return net.op('Concat', [pooled, net.conv(below, 4, 2, [3, 3], { pads: [1, 1, 1, 1] })], { axis: 1 });
    });
    await expectLossless(resolved);
  });

  test('a hull of which each consumer needs another part', async () => {
    const resolved = around((net, x) => {
      const parts = [1, 3, 5].map((k) => net.conv(x, 4, 2, [k, k], { pads: Array(4).fill((k - 1) / 2) }));
      return net.op('Sum', [...parts, net.op('Slice', [x, net.ints(0), net.ints(2), net.ints(1)])]);
    });
    await expectLossless(resolved, undefined, [singleCells, [2, 3]]);
  });
});

describe('an operator that ends a tile stage is named with the reason', () => {
  const cases: [string, Build, RegExp][] = [
    ['GlobalAveragePool', (net, x) => net.op('GlobalAveragePool', [x]), /^needs the whole map$/],
    ['ReduceMean', (net, x) => net.op('ReduceMean', [x], { axes: [2, 3] }), /^needs the whole map$/],
    ['Softmax', (net, x) => net.op('Softmax', [x], { axis: 3 }), /^sums over whole columns$/],
    ['Reshape', (net, x) => net.op('Reshape', [x, net.ints(1, -1)]), /mixes rows and columns/],
    ['Flatten', (net, x) => net.op('Flatten', [x]), /mixes rows and columns/],
    ['Concat', (net, x) => net.op('Concat', [x, x], { axis: 2 }), /side by side/],
    [
      'Resize',
      (net, x) =>
        net.op('Resize', [x, net.values('float32', [8], [0, 0, 0, 0, 1, 1, 1, 1]), '', net.ints(1, 4, 9, 9)], {
          mode: 'linear',
          coordinate_transformation_mode: 'tf_crop_and_resize',
        }),
      /share of the whole map/,
    ],
    [
      'MatMul',
      (net, x) => net.op('MatMul', [x, net.op('Transpose', [x], { perm: [0, 1, 3, 2] })]),
      /multiplies two maps/,
    ],
    [
      'InstanceNormalization',
      (net, x) => net.op('InstanceNormalization', [x, net.weight(4), net.weight(4)]),
      /whole map/,
    ],
    ['TopK', (net, x) => net.op('TopK', [x, net.ints(2)], { axis: 1 }, 2), /whole map/],
    [
      'BatchNormalization',
      (net, x) => net.op('BatchNormalization', [x, ...[1, 2, 3, 4].map(() => net.weight(4))], { training_mode: 1 }, 3),
      /statistics of its own input/,
    ],
    [
      'Pad',
      (net, x) => net.op('MaxPool', [net.op('Pad', [x, net.ints(0, 0, 1, 1, 0, 0, 1, 1)])], { kernel_shape: [3, 3] }),
      /pads with 0 before a MaxPool/,
    ],
    ['Relu', (net, x) => net.op('Relu', [x], { across: 1 }), /attribute "across", which its rule/],
    ['Softmax', (net, x) => net.op('Softmax', [x], { axis: { float: 1 } }), /axis = 1, which its rule/],
    ['MaxPool', (net, x) => net.op('MaxPool', [x], { kernel_shape: [2, 2], auto_pad: 'SAME' }), /auto_pad = SAME,/],
    [
      'Dropout',
      (net, x) => net.op('Dropout', [x, net.values('float32', [], [0.5]), net.values('bool', [], [1])]),
      /at random/,
    ],
  ];
  test.each(cases)('%s', (op, build, reason) => {
    const resolved = around(build);
    const [stop] = findTileable(resolved, ['x0']).stops;
    expect(stop?.op).toBe(op);
    expect(stop?.reason).toMatch(reason);
    expect(stop?.waits).toBe(false);
  });

  test.each([
    [8, { spatial: 0 }, 1, /statistics for each cell/],
    [9, {}, 5, /statistics of its own input/],
    [13, {}, 5, /statistics of its own input/],
    [29, {}, 1, /operator set 29; .* up to 28/],
  ] as const)('BatchNormalization of operator set %i with %j and %i outputs', (opset, attributes, outputs, reason) => {
    const resolved = around(
      (net, x) => net.op('BatchNormalization', [x, ...[1, 2, 3, 4].map(() => net.weight(4))], attributes, outputs),
      opset,
    );
    const { stops } = findTileable(resolved, ['x0']);
    expect(stops[0]?.reason).toMatch(reason);
  });

  test('an operator that also reads a tensor that cannot be tiled is not tiled either', () => {
    const resolved = around((net, x) => net.op('Mul', [x, net.op('Sigmoid', [net.op('GlobalAveragePool', [x])])]));
    const { stops } = findTileable(resolved, ['x0']);
    expect(stops.map(({ op, waits }) => [op, waits])).toEqual([
      ['GlobalAveragePool', false],
      ['Mul', true],
    ]);
  });
});
