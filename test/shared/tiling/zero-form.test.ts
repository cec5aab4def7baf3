import { describe, expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { writeModel } from '../../../shared/onnx/write.ts';
import { boxShape, byteLength, crop, paste, type Tensor } from '../../../shared/tensor/tensor.ts';
import type { StageForm } from '../../../shared/tiling/form.ts';
import { compareTensors, runStage } from '../../../shared/tiling/reference.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { inputsFor, Network, sessions, stageOf } from './network.ts';

function zeroStage(
  resolved: ResolvedModel,
  outputs: readonly string[],
  rows: readonly number[],
  cols: readonly number[],
): StageForm {
  return buildStage(resolved, stageOf(['x0'], outputs, { kind: 'tiles', padding: 'zero', rows, cols }));
}

/** VGG-like: x [1, 3, 32, 48] -> two poolings -> 8 x 12 cells, with a channel shuffle and an enlargement inside. */
function network(): { net: Network; output: string } {
  const net = new Network();
  const pads = [1, 1, 1, 1];
  const a = net.op('Relu', [net.conv(net.input([1, 3, 32, 48]), 3, 4, [3, 3], { pads })]);
  const b = net.op('MaxPool', [a], { kernel_shape: [2, 2], strides: [2, 2] });
  const shuffled = net.op('Reshape', [net.op('Reshape', [b, net.ints(1, 2, 2, 16, 24)]), net.ints(1, 4, 16, 24)]);
  const c = net.conv(shuffled, 4, 4, [3, 3], { strides: [2, 2], auto_pad: 'SAME_UPPER' });
  const up = net.op('Resize', [c, '', '', net.ints(1, 4, 16, 24)], { mode: 'nearest' });
  const d = net.op('AveragePool', [up], { kernel_shape: [2, 2], strides: [2, 2] });
  return { net, output: net.op('Add', [d, net.conv(c, 4, 4, [3, 3], { pads })]) };
}

/**
 * The definition of FDSP without Tessera's graph surgery: cut tiles out of the frame and run the same network, resolved
 * for their size.
 */
async function independently(model: ResolvedModel, form: StageForm, frame: Tensor, output: string): Promise<Tensor> {
  const { run, release } = sessions();
  const spec = model.specs.get(output)!;
  const target = { ...spec, data: new Uint8Array(byteLength(spec)) };
  for (const tile of form.parts) {
    const { box } = tile.in[0]!;
    const shape = boxShape(box);
    const alone = resolveModel(original(model), { inputShapes: { x0: shape } });
    const made = await run(alone.model, new Map([['x0', { dtype: frame.dtype, shape, data: crop(frame, box) }]]));
    paste(target, tile.out[0]!.box, made.get(output)!.data);
  }
  await release();
  return target;
}

/** The network with an open size. */
function original({ model }: ResolvedModel) {
  const [input] = model.graph.inputs;
  const shape = [1, 3, 'rows', 'cols'];
  return { ...model, graph: { ...model.graph, inputs: [{ ...input!, shape }] } };
}

describe('FDSP: each tile is run alone, padded at its own edges', () => {
  test.each([
    [[8], [12]],
    [
      [4, 4],
      [6, 6],
    ],
    [
      [2, 5, 1],
      [11, 1],
    ],
  ])('rows %j, cols %j equal tiles that are cut out and run through the network', async (rows, cols) => {
    const net = new Network();
    const pads = [1, 1, 1, 1];
    const a = net.op('Relu', [net.conv(net.input([1, 3, 32, 48]), 3, 4, [3, 3], { pads })]);
    const b = net.op('MaxPool', [a], { kernel_shape: [2, 2], strides: [2, 2] });
    const c = net.conv(b, 4, 4, [3, 3], { strides: [2, 2], auto_pad: 'SAME_UPPER' });
    const output = net.op('Add', [c, net.conv(c, 4, 4, [3, 3], { pads })]);
    const resolved = net.resolve(output);
    const form = zeroStage(resolved, [output], rows, cols);
    expect(form.approximate).toBe(rows.length * cols.length > 1);
    const frame = inputsFor(resolved, ['x0']).get('x0')!;
    const { run, release } = sessions();
    const made = await runStage(form, new Map([['x0', frame]]), resolved.specs, run);
    await release();
    const expected = await independently(resolved, form, frame, output);
    expect(compareTensors(new Map([[output, expected]]), made)).toBeLessThanOrEqual(1e-6);
  });

  test('target shapes follow the tile, and one model serves every grid', async () => {
    const { net, output } = network();
    const resolved = net.resolve(output);
    const whole = zeroStage(resolved, [output], [8], [12]);
    const tiled = zeroStage(resolved, [output], [2, 6], [3, 3, 6]);
    expect(Buffer.compare(writeModel(whole.parts[0]!.model), writeModel(tiled.parts[0]!.model))).toBe(0);
    expect(tiled.parts[4]!.in[0]!.box).toEqual([
      [0, 1],
      [0, 3],
      [8, 32],
      [12, 24],
    ]);
    const { run, release } = sessions();
    const inputs = inputsFor(resolved, ['x0']);
    const one = await runStage(whole, inputs, resolved.specs, run);
    const plain = buildStage(resolved, stageOf(['x0'], [output], { kind: 'whole' }));
    expect(compareTensors(await runStage(plain, inputs, resolved.specs, run), one)).toBeLessThanOrEqual(1e-6);
    await runStage(tiled, inputs, resolved.specs, run);
    await release();
  });

  test('multiply-adds of the tiles add up to those of the whole', () => {
    const { net, output } = network();
    const resolved = net.resolve(output);
    const [whole] = zeroStage(resolved, [output], [8], [12]).parts;
    const parts = zeroStage(resolved, [output], [2, 6], [3, 3, 6]).parts;
    expect(parts.reduce((sum, tile) => sum + tile.macs, 0)).toBe(whole!.macs);
  });
});

/** x [1, 3, rows, cols] -> mirrored border -> conv 3x3 -> enlarged: operators that depend on where the map ends. */
function bordered(rows: number, cols: number, factor: number, coordinates: string) {
  const net = new Network();
  const x = net.input([1, 3, rows, cols]);
  const padded = net.op('Pad', [x, net.ints(0, 0, 1, 1, 0, 0, 1, 1)], { mode: 'reflect' });
  const sizes = net.ints(1, 3, rows * factor, cols * factor);
  const output = net.op('Resize', [net.conv(padded, 3, 3, [3, 3]), '', '', sizes], {
    mode: 'linear',
    coordinate_transformation_mode: coordinates,
  });
  return { resolved: net.resolve(output), output };
}

describe("operators that depend on the map's edge act at the edges of each tile", () => {
  test.each([
    ['align_corners', 2, [8, 24], [20, 20]],
    ['half_pixel', 1.5, [6, 18], [9, 21]],
  ] as const)('enlarged with %s, %f times', async (coordinates, factor, rows, cols) => {
    const { resolved, output } = bordered(16, 20, factor, coordinates);
    const form = zeroStage(resolved, [output], rows, cols);
    const frame = inputsFor(resolved, ['x0']).get('x0')!;
    const { run, release } = sessions();
    const made = (await runStage(form, new Map([['x0', frame]]), resolved.specs, run)).get(output)!;
    for (const tile of form.parts) {
      const { box } = tile.in[0]!;
      const shape = boxShape(box);
      const alone = bordered(shape[2]!, shape[3]!, factor, coordinates);
      const piece = new Map([['x0', { dtype: frame.dtype, shape, data: crop(frame, box) }]]);
      const expected = (await run(alone.resolved.model, piece)).get(alone.output)!;
      const region = { ...expected, data: crop(made, tile.out[0]!.box) };
      expect(compareTensors(new Map([[output, expected]]), new Map([[output, region]]))).toBeLessThanOrEqual(1e-6);
    }
    await release();
  });

  test('a factor without integer cells, and tiles smaller than their mirrored border', () => {
    const net = new Network();
    const x = net.input([1, 3, 22, 22]);
    const up = net.op('Resize', [x, '', '', net.ints(1, 3, 43, 43)], { mode: 'linear' });
    expect(failure(() => zeroStage(net.resolve(up), [up], [22, 21], [43])).message).toMatch(/between two cells/);
    const mirrored = net.op('Pad', [x, net.ints(0, 0, 3, 3, 0, 0, 3, 3)], { mode: 'reflect' });
    const y = net.conv(mirrored, 3, 2, [7, 7]);
    expect(failure(() => zeroStage(net.resolve(y), [y], [3, 19], [22])).message).toMatch(/too small for Pad/);
  });
});

describe('impossible FDSP tiles are refused with a reason', () => {
  test('tiles that begin between two cells of the frame: which sizes are possible', () => {
    const net = new Network();
    const small = net.conv(net.input([1, 3, 32, 32]), 3, 2, [4, 4], { strides: [4, 4] });
    const up = net.op('Resize', [small, '', net.values('float32', [4], [1, 1, 8, 8])], { mode: 'nearest' });
    const resolved = net.resolve(up);
    const error = failure(() => zeroStage(resolved, [up], [3, 61], [64]));
    expect(error.code).toBe('TESSERA_PLAN_INVALID');
    expect(error.hint).toMatch(/Tiles can end after 8, 16, 24, 32 cells/);
  });

  test('a network without padding shrinks its tiles', () => {
    const net = new Network();
    const output = net.conv(net.input([1, 3, 32, 32]), 3, 2, [3, 3]);
    const error = failure(() => zeroStage(net.resolve(output), [output], [15, 15], [30]));
    expect(error.code).toBe('TESSERA_PLAN_INVALID');
    expect(error.hint).toMatch(/only be tiled with halo/);
  });

  test('a constant that varies in space', () => {
    const net = new Network();
    const output = net.op('Add', [net.input([1, 3, 32, 32]), net.weight(32, 32)]);
    expect(failure(() => zeroStage(net.resolve(output), [output], [16, 16], [32])).message).toMatch(/varies in space/);
  });
});

function failure(act: () => unknown): TesseraError {
  try {
    act();
  } catch (error) {
    if (error instanceof TesseraError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
