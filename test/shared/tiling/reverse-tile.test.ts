import { describe, expect, test } from 'vitest';
import { crop, type Tensor } from '../../../shared/tensor/tensor.ts';
import type { PartForm } from '../../../shared/tiling/form.ts';
import { firstInputCell, inputCellsEnd, windowField } from '../../../shared/tiling/receptive-field.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { haloStage, inputsFor, Network, sessions, stageOf } from './network.ts';

/** in_start, in_end (clipped), pad_before, pad_after as the papers write them. */
function reverse(a: number, b: number, kernel: number, stride: number, pad: number, size: number): number[] {
  const reach = windowField(kernel, stride, pad, 'pad', (n) => n);
  const [lo, hi] = [firstInputCell(reach, a), inputCellsEnd(reach, b)];
  return [Math.max(0, lo), Math.min(size, hi), Math.max(0, -lo), Math.max(0, hi - size)];
}

describe('reverse tile calculation (D3, section V)', () => {
  test.each([
    // VGG: 3x3, stride 1, padding 1 on 224 cells
    { out: [0, 56], window: [3, 1, 1, 224], expected: [0, 57, 1, 0] },
    { out: [56, 112], window: [3, 1, 1, 224], expected: [55, 113, 0, 0] },
    { out: [168, 224], window: [3, 1, 1, 224], expected: [167, 224, 0, 1] },
    // ResNet's stem: 7x7, stride 2, padding 3
    { out: [28, 56], window: [7, 2, 3, 224], expected: [53, 114, 0, 0] },
    { out: [0, 112], window: [7, 2, 3, 224], expected: [0, 224, 3, 2] },
    // AlexNet's stem: 11x11, stride 4, no padding
    { out: [27, 54], window: [11, 4, 0, 224], expected: [108, 223, 0, 0] },
    // overlapping pool under ceil_mode: the last window passes the end
    { out: [6, 7], window: [3, 2, 0, 14], expected: [12, 14, 0, 1] },
    // dilation 2 makes a 3-tap kernel reach over 5 cells
    { out: [10, 12], window: [5, 1, 2, 32], expected: [8, 14, 0, 0] },
  ])('cells $out of window $window', ({ out, window, expected }) => {
    const [kernel, stride, pad, size] = window as [number, number, number, number];
    expect(reverse(out[0]!, out[1]!, kernel, stride, pad, size)).toEqual(expected);
  });
});

/** Linear networks without cancellation: each pixel inside a receptive field changes something. */
function linearNetworks(): [string, () => { resolved: ReturnType<Network['resolve']>; output: string }][] {
  const make = (build: (net: Network, x: string) => string) => () => {
    const net = new Network();
    const output = build(net, net.input([1, 1, 13, 12]));
    return { resolved: net.resolve(output), output };
  };
  const pads = [1, 1, 1, 1];
  return [
    [
      'two convolutions',
      make((net, x) => net.conv(net.conv(x, 1, 2, [3, 3], { pads }), 2, 1, [3, 5], { pads, strides: [2, 1] })),
    ],
    [
      'a residual around a strided pool',
      make((net, x) => {
        const down = net.op('AveragePool', [x], { kernel_shape: [3, 3], strides: [2, 2], pads });
        return net.op('Add', [net.conv(down, 1, 1, [3, 3], { pads }), down]);
      }),
    ],
    [
      'a bilinear enlargement',
      make((net, x) => {
        const up = net.op('Resize', [x, '', net.values('float32', [4], [1, 1, 2, 2])], { mode: 'linear' });
        return net.conv(up, 1, 1, [3, 3], { pads });
      }),
    ],
    [
      'a dilated one after a slice',
      make((net, x) =>
        net.conv(net.op('Slice', [x, net.ints(1), net.ints(12), net.ints(2)]), 1, 1, [3, 3], {
          dilations: [1, 2],
          pads: [1, 2, 1, 2],
        }),
      ),
    ],
  ];
}

/** Whether changing the given pixels of the frame changes a tile's part of the output. */
async function matters(
  whole: (frame: Tensor) => Promise<Tensor>,
  frame: Tensor,
  tile: PartForm,
  isChanged: (row: number, col: number) => boolean,
): Promise<boolean> {
  const region = tile.out[0]!.box;
  const values = new Float32Array(frame.data.slice().buffer);
  const cols = frame.shape[3]!;
  for (let i = 0; i < values.length; i++) if (isChanged(Math.floor(i / cols), i % cols)) values[i]! += 3 + (i % 7);
  const before = crop(await whole(frame), region);
  const after = crop(await whole({ ...frame, data: new Uint8Array(values.buffer) }), region);
  return Buffer.compare(before, after) !== 0;
}

describe('the region that a tile is given', () => {
  test.each(linearNetworks())('is sufficient and no larger than needed: %s', async (_, make) => {
    const { resolved, output } = make();
    const { run, release } = sessions();
    const frame = inputsFor(resolved, ['x0']).get('x0')!;
    const model = buildStage(resolved, stageOf(['x0'], [output], { kind: 'whole' })).parts[0]!.model;
    const whole = async (x: Tensor) => (await run(model, new Map([['x0', x]]))).get(output)!;
    const form = haloStage(resolved, ['x0'], [output], [3, 2]);
    for (const tile of form.parts) {
      const { box } = tile.in[0]!;
      const [[top, bottom], [left, right]] = [box[2]!, box[3]!];
      const inside = (row: number, col: number) => row >= top && row < bottom && col >= left && col < right;
      expect(await matters(whole, frame, tile, (row, col) => !inside(row, col)), 'nothing outside matters').toBe(false);
      const edges: ((row: number, col: number) => boolean)[] = [
        (row, col) => inside(row, col) && row === top,
        (row, col) => inside(row, col) && row === bottom - 1,
        (row, col) => inside(row, col) && col === left,
        (row, col) => inside(row, col) && col === right - 1,
      ];
      for (const edge of edges) expect(await matters(whole, frame, tile, edge), 'every edge matters').toBe(true);
    }
    await release();
  });
});
