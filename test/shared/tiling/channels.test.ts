import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { beforeSoftmax, seedWeights } from '../../../bench/harness/weights.ts';
import type { ResolvedModel } from '../../../shared/onnx/model.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { loadModelFile } from '../../../shared/runtime/package.ts';
import { boxShape } from '../../../shared/tensor/tensor.ts';
import { channelCosts } from '../../../shared/tiling/channel-form.ts';
import { channelSegment } from '../../../shared/tiling/channel-segment.ts';
import { compareForms, compareTensors, runStage } from '../../../shared/tiling/reference.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { inputsFor, Network, sessions, stageOf } from './network.ts';
import { runWhole } from './truth.ts';

/** The form of a stage in slices of channels. */
function sliced(
  resolved: ResolvedModel,
  inputs: readonly string[],
  outputs: readonly string[],
  sizes: readonly number[],
) {
  return buildStage(resolved, stageOf(inputs, outputs, { kind: 'channels', sizes }));
}

/** Fails unless slices of these sizes equal the runtime's run of the whole file. */
async function expectEqual(net: Network, output: string, sizes: readonly number[], within = 1e-5): Promise<void> {
  const resolved = net.resolve(output);
  const inputs = resolved.model.graph.inputs.map(({ name }) => name);
  const data = inputsFor(resolved, inputs);
  const whole = await runWhole(net.file(output), data);
  if ('reason' in whole) throw new Error(String(whole.reason));
  const form = sliced(resolved, inputs, [output], sizes);
  const { run, release } = sessions();
  try {
    const made = await runStage(form, data, resolved.specs, run, resolved.model.graph.initializers);
    expect(compareTensors(whole, made)).toBeLessThanOrEqual(within);
  } finally {
    await release();
  }
}

describe('slices of channels', () => {
  it('reads whole inputs of a layer, only its channels of what acts on channels, and slices of weights', () => {
    const net = new Network();
    const [x, skip] = [net.input([1, 4, 5, 6]), net.input([1, 8, 5, 6])];
    const conv = net.op('Conv', [x, net.weight(8, 4, 1, 1), net.weight(8)], { kernel_shape: [1, 1] });
    const output = net.op('Relu', [net.op('Add', [conv, skip])]);
    const { parts, approximate } = sliced(net.resolve(output), [x, skip], [output], [5, 3]);
    const rest = [
      [0, 5],
      [0, 6],
    ];
    expect(parts.map((part) => part.in)).toEqual([
      [
        { tensor: x, box: [[0, 1], [0, 4], ...rest] },
        { tensor: skip, box: [[0, 1], [0, 5], ...rest] },
      ],
      [
        { tensor: x, box: [[0, 1], [0, 4], ...rest] },
        { tensor: skip, box: [[0, 1], [5, 8], ...rest] },
      ],
    ]);
    expect(parts.map((part) => part.out)).toEqual([
      [{ tensor: output, box: [[0, 1], [0, 5], ...rest] }],
      [{ tensor: output, box: [[0, 1], [5, 8], ...rest] }],
    ]);
    expect(parts.map(({ slices }) => slices.map(({ box }) => boxShape(box)))).toEqual([
      [[5, 4, 1, 1], [5]],
      [[3, 4, 1, 1], [3]],
    ]);
    expect(parts.map(({ macs }) => macs)).toEqual([5 * 4 * 30, 3 * 4 * 30]);
    expect(approximate).toBe(false);
  });

  it('says what each slice costs without building its model', () => {
    const net = new Network();
    const x = net.input([1, 10]);
    const output = net.op('Gemm', [x, net.weight(10, 6), net.weight(6)]);
    const segment = channelSegment(net.resolve(output), [x], [output]);
    expect(channelCosts(segment, [4, 2])).toEqual([
      { macs: 40, bytes_in: 40, bytes_out: 16, weight_bytes: 4 * 44 },
      { macs: 20, bytes_in: 40, bytes_out: 8, weight_bytes: 4 * 22 },
    ]);
  });

  it('reads the channels of their groups alone where convolutions are grouped', () => {
    const net = new Network();
    const x = net.input([1, 8, 5, 5]);
    const output = net.conv(x, 8, 4, [3, 3], { group: 4, kernel_shape: [3, 3] });
    const segment = channelSegment(net.resolve(output), [x], [output]);
    const [first, second] = sliced(net.resolve(output), [x], [output], [1, 3]).parts;
    expect([first!.in[0]!.box[1], second!.in[0]!.box[1]]).toEqual([
      [0, 2],
      [2, 8],
    ]);
    expect(segment.step).toBe(1);
  });

  it('refuses sizes that cut groups, or that do not add up, and says which would do', () => {
    const net = new Network();
    const x = net.input([1, 4, 5, 5]);
    const output = net.conv(x, 4, 8, [3, 3], { group: 2, kernel_shape: [3, 3] });
    const resolved = net.resolve(output);
    const of = (sizes: number[]) => () => sliced(resolved, [x], [output], sizes);
    expect(of([4, 4])).not.toThrow();
    expect(of([2, 6])).toThrow(
      expect.objectContaining({ code: 'TESSERA_PLAN_INVALID', hint: expect.stringContaining('multiples of 4') }),
    );
    expect(of([4, 3])).toThrow(
      expect.objectContaining({
        code: 'TESSERA_PLAN_INVALID',
        message: expect.stringContaining('which has 8 channels'),
        hint: expect.stringContaining('add up to 8'),
      }),
    );
  });

  it('counts the features behind a Flatten, and cuts them between channels', () => {
    const net = new Network();
    const x = net.input([1, 2, 3, 3]);
    const output = net.op('Flatten', [net.conv(x, 2, 4, [1, 1], { kernel_shape: [1, 1] })]);
    const segment = channelSegment(net.resolve(output), [x], [output]);
    expect(segment).toMatchObject({ reference: output, channels: 36, step: 9 });
  });

  const REFUSED: [string, RegExp, (net: Network) => string][] = [
    [
      'a second layer, which needs all channels of the first',
      /Conv "[^"]+": it needs all channels of/,
      (net) => net.conv(net.op('Relu', [net.conv(net.input([1, 2, 5, 5]), 2, 4, [1, 1])]), 4, 4, [1, 1]),
    ],
    [
      'Softmax over the channels',
      /Softmax "[^"]+": it is not known to act on each channel/,
      (net) => net.op('Softmax', [net.op('MatMul', [net.input([1, 4]), net.weight(4, 6)])], { axis: 1 }),
    ],
    [
      'weights from the left',
      /MatMul "[^"]+": it multiplies by weights from the left/,
      (net) => net.op('MatMul', [net.weight(6, 4), net.input([4, 3])]),
    ],
    [
      'weights that are a vector',
      /MatMul "[^"]+": it has weights without an axis/,
      (net) => net.op('MatMul', [net.input([3, 4]), net.weight(4)]),
    ],
    [
      'the product of two maps',
      /MatMul "[^"]+": it has weights that are computed from the frame/,
      (net) => net.op('MatMul', [net.input([3, 4]), net.input([4, 5])]),
    ],
    [
      'outputs whose channels no layer makes',
      /cannot be the output of a stage that is split by channels/,
      (net) => net.op('Relu', [net.input([1, 4, 5, 5])]),
    ],
    [
      'a Reshape that mixes the channels with what is in front of them',
      /Reshape "[^"]+": it mixes the channels/,
      (net) => net.op('Reshape', [net.op('MatMul', [net.input([2, 3, 4]), net.weight(4, 6)]), net.ints(4, 9)]),
    ],
    [
      'channels joined with others',
      /Concat "[^"]+": it is not known/,
      (net) => {
        const x = net.input([1, 2, 5, 5]);
        return net.op('Concat', [net.conv(x, 2, 4, [1, 1]), net.conv(x, 2, 4, [1, 1])], { axis: 1 });
      },
    ],
    [
      'random numbers, which differ from part to part',
      /RandomNormalLike "[^"]+": it draws random numbers/,
      (net) => net.conv(net.op('RandomNormalLike', [net.input([1, 2, 5, 5])]), 2, 4, [1, 1]),
    ],
    [
      'pooling over what is no axis of channels',
      /MaxPool "[^"]+": it treats the axis of the channels as rows/,
      (net) =>
        net.op('MaxPool', [net.op('MatMul', [net.input([1, 2, 5, 4]), net.weight(4, 6)])], { kernel_shape: [1, 2] }),
    ],
  ];

  it.each(REFUSED)('refuses %s', (_, message, build) => {
    const net = new Network();
    const output = build(net);
    const resolved = net.resolve(output);
    const inputs = resolved.model.graph.inputs.map(({ name }) => name);
    expect(() => sliced(resolved, inputs, [output], [2, 2])).toThrow(
      expect.objectContaining({ code: 'TESSERA_PLAN_INVALID', message: expect.stringMatching(message) }),
    );
  });
});

describe('slices of quantised layers equal the whole', () => {
  const codes = (net: Network, dtype: 'uint8' | 'int8', ...dims: number[]): string => {
    const count = dims.reduce((all, size) => all * size, 1);
    const values = Array.from({ length: count }, (_, i) => ((i * 37) % 120) - (dtype === 'int8' ? 60 : 0));
    return net.values(dtype, dims, values);
  };
  const floats = (net: Network, ...values: number[]): string => net.values('float32', [values.length], values);
  const scale = (net: Network, value: number): string => net.values('float32', [], [value]);
  const zero = (net: Network, dtype: 'uint8' | 'int8', value: number): string => net.values(dtype, [], [value]);

  it('QLinearConv with a scale for each channel', async () => {
    const net = new Network(13);
    const x = net.input([1, 3, 6, 5], 'uint8');
    const output = net.op(
      'QLinearConv',
      [
        x,
        scale(net, 0.02),
        zero(net, 'uint8', 128),
        codes(net, 'int8', 6, 3, 3, 3),
        floats(net, 0.01, 0.02, 0.03, 0.02, 0.01, 0.05),
        net.values('int8', [6], [0, 0, 0, 0, 0, 0]),
        scale(net, 0.1),
        zero(net, 'uint8', 100),
        net.values('int32', [6], [10, -20, 30, 5, 0, 7]),
      ],
      { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
    );
    // A value in the middle between two codes may become the other one.
    await expectEqual(net, output, [1, 3, 2], 1 / 255);
  });

  it('weights behind a DequantizeLinear, which are cut as codes', async () => {
    const net = new Network(13);
    const x = net.input([1, 3, 6, 5]);
    const scales = floats(net, 0.01, 0.02, 0.03, 0.02, 0.01, 0.05);
    const w = net.op('DequantizeLinear', [codes(net, 'int8', 6, 3, 3, 3), scales, codes(net, 'int8', 6)], { axis: 0 });
    const output = net.op('Conv', [x, w], { kernel_shape: [3, 3] });
    const [part] = sliced(net.resolve(output), [x], [output], [2, 4]).parts;
    expect(part!.slices.map(({ box }) => boxShape(box))).toEqual([[2, 3, 3, 3], [2], [2]]);
    await expectEqual(net, output, [2, 4]);
  });

  it('ConvInteger', async () => {
    const net = new Network(13);
    const x = net.input([1, 3, 6, 5], 'uint8');
    const output = net.op('ConvInteger', [
      x,
      codes(net, 'uint8', 4, 3, 3, 3),
      zero(net, 'uint8', 7),
      zero(net, 'uint8', 5),
    ]);
    await expectEqual(net, output, [1, 3], 0);
  });

  it('MatMulInteger with a zero point for each column, and the scales behind it', async () => {
    const net = new Network(13);
    const x = net.input([2, 5], 'uint8');
    const product = net.op('MatMulInteger', [
      x,
      codes(net, 'int8', 5, 4),
      zero(net, 'uint8', 3),
      codes(net, 'int8', 4),
    ]);
    const output = net.op('Mul', [net.op('Cast', [product], { to: 1 }), floats(net, 0.5, 1, 2, 3)]);
    await expectEqual(net, output, [3, 1], 0);
  });

  it('QLinearMatMul', async () => {
    const net = new Network(13);
    const x = net.input([2, 5], 'uint8');
    const output = net.op('QLinearMatMul', [
      x,
      scale(net, 0.05),
      zero(net, 'uint8', 120),
      codes(net, 'uint8', 5, 4),
      scale(net, 0.02),
      zero(net, 'uint8', 60),
      scale(net, 0.1),
      zero(net, 'uint8', 128),
    ]);
    await expectEqual(net, output, [1, 2, 1], 1 / 255);
  });
});

describe('real networks in slices equal the whole', () => {
  const folder = join(process.env.TESSERA_DATA ?? '../shared/data', 'models');
  const CASES: [file: string, layer: number, sizes: number[]][] = [
    // Indices among the layers with weights: the dense layers of a VGG, one of AlexNet's, convolutions.
    ['topologies/light_vgg19.onnx', 16, [512, 1024, 512, 1024, 1024]],
    ['topologies/light_vgg19.onnx', 17, [1024, 3072]],
    ['topologies/light_bvlc_alexnet.onnx', 6, [2048, 1024, 1024]],
    ['squeezenet1.1.onnx', 0, [24, 40]],
    ['person_vww_96.onnx', 2, [8, 8]],
  ];

  it.for(CASES)('%s, layer %i', { timeout: 120_000 }, async ([file, index, sizes], { skip }) => {
    const path = join(folder, file);
    skip(!existsSync(path), `${path} is missing; TESSERA_DATA names the folder that holds models/`);
    const model = await loadModelFile(path);
    const resolved = resolveModel(file.includes('light_') ? beforeSoftmax(seedWeights(model, 1)) : model);
    const layers = resolved.model.graph.nodes.filter(({ op }) => op === 'Conv' || op === 'Gemm' || op === 'MatMul');
    const layer = layers[index]!;
    const relu = resolved.model.graph.nodes.find(({ inputs, op }) => op === 'Relu' && inputs[0] === layer.outputs[0]);
    const [from, to] = [layer.inputs[0]!, (relu ?? layer).outputs[0]!];
    const whole = buildStage(resolved, stageOf([from], [to], { kind: 'whole' }));
    const form = sliced(resolved, [from], [to], sizes);
    const { run, release } = sessions();
    try {
      const { initializers } = resolved.model.graph;
      const data = inputsFor(resolved, [from]);
      const largest = await compareForms(whole, form, data, resolved.specs, run, initializers);
      expect(largest).toBeLessThanOrEqual(1e-4);
    } finally {
      await release();
    }
  });
});
