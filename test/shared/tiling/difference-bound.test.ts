import { describe, expect, test } from 'vitest';
import type { Stage } from '../../../shared/plan/plan.ts';
import { differenceBound, HALF_LAYERS } from '../../../shared/tiling/difference-bound.ts';
import { expectLossless, Network, noise, stageOf } from './network.ts';

const pads = [1, 1, 1, 1];
const TILES: Stage['split'] = { kind: 'tiles', padding: 'halo', rows: [1], cols: [1] };

/** x -> the given number of convolutions. */
function deep(layers: number, dtype: 'float32' | 'float16') {
  const net = new Network(17, dtype);
  let x = net.input([1, 3, 12, 12]);
  for (let i = 0; i < layers; i++) x = net.op('Relu', [net.conv(x, 3, 3, [3, 3], { pads })]);
  return { resolved: net.resolve(x), output: x };
}

/** DequantizeLinear of the codes of x. */
function quantized(net: Network, x: string, type: 'uint8' | 'int8'): string {
  const parameters = [net.values('float32', [], [0.02]), net.values(type, [], [type === 'int8' ? 0 : 120])];
  return net.op('DequantizeLinear', [net.op('QuantizeLinear', [x, ...parameters]), ...parameters]);
}

describe('the bound on the difference from the whole network', () => {
  test.each([
    ['float32', 1, 1e-4],
    ['float32', 60, 1e-4],
    ['float16', 1, 1e-2],
    ['float16', HALF_LAYERS, 1e-2],
  ] as const)('tiles of %s, %i layers: %f of the range', (dtype, layers, largest) => {
    const { resolved, output } = deep(layers, dtype);
    expect(differenceBound(resolved, [stageOf(['x0'], [output], TILES)])).toEqual({ largest });
  });

  test('deeper networks of halves are approximate, also where several stages share them', () => {
    const { resolved, output } = deep(HALF_LAYERS + 1, 'float16');
    const reason = { unbounded: expect.stringContaining('21 layers in float16') };
    expect(differenceBound(resolved, [stageOf(['x0'], [output], TILES)])).toEqual(reason);
    const middle = resolved.model.graph.nodes[19]!.outputs[0]!;
    const stages = [stageOf(['x0'], [middle], TILES), stageOf([middle], [output], TILES)];
    expect(differenceBound(resolved, stages)).toEqual(reason);
    const rest = [stageOf(['x0'], [middle], TILES), stageOf([middle], [output], { kind: 'whole' })];
    expect(differenceBound(resolved, rest)).toEqual({ largest: 1e-2 });
  });

  test('the whole network on one machine has no difference', () => {
    const { resolved, output } = deep(30, 'float16');
    expect(differenceBound(resolved, [stageOf(['x0'], [output], { kind: 'whole' })])).toEqual({ largest: 1e-4 });
  });

  test('networks that draw random numbers have no bound, wherever they run', () => {
    for (const [op, inputs, drawn] of [
      ['RandomNormalLike', [], true],
      ['Bernoulli', [], true],
      ['Dropout', [0.5, 1], true],
      ['Dropout', [0.5, 0], false],
      ['Dropout', [], false],
    ] as const) {
      const net = new Network();
      const x = net.conv(net.input([1, 3, 12, 12]), 3, 3, [3, 3], { pads });
      const [ratio, trains] = inputs;
      const more =
        ratio === undefined ? [] : [net.values('float32', [], [ratio]), net.values('bool', [], [trains as number])];
      const y = net.op(op, [x, ...more]);
      const resolved = net.resolve(y);
      const bound = differenceBound(resolved, [stageOf(['x0'], [y], { kind: 'whole' })]);
      expect(bound).toEqual(drawn ? { unbounded: expect.stringContaining('draws random numbers') } : { largest: 1e-4 });
    }
  });

  test('quantised sums of tiles can be a step off, anywhere in the network', () => {
    const net = new Network();
    const y = net.conv(quantized(net, net.input([1, 3, 12, 12]), 'uint8'), 3, 3, [3, 3], { pads });
    const z = quantized(net, y, 'uint8');
    const resolved = net.resolve(z);
    const reason = { unbounded: expect.stringMatching(/^QuantizeLinear ".*" rounds values that differ/) };
    expect(differenceBound(resolved, [stageOf(['x0'], [z], TILES)])).toEqual(reason);
    const rest = [stageOf(['x0'], [y], TILES), stageOf([y], [z], { kind: 'whole' })];
    expect(differenceBound(resolved, rest)).toEqual(reason);
  });

  test('codes of the frame itself, and convolutions of codes, are exact', async () => {
    const net = new Network();
    const [scale, zero] = [net.values('float32', [], [0.02]), net.values('uint8', [], [117])];
    const codes = net.op('QuantizeLinear', [net.input([1, 4, 14, 11]), scale, zero]);
    const weights = net.values(
      'int8',
      [4, 4, 3, 3],
      noise(144, 3).map((value) => Math.floor(value * 100)),
    );
    const signed = net.values('int8', [], [0]);
    const twice = (x: string) => net.op('QLinearConv', [x, scale, zero, weights, scale, signed, scale, zero], { pads });
    const y = net.op('DequantizeLinear', [twice(twice(codes)), scale, zero]);
    const resolved = net.resolve(y);
    expect(differenceBound(resolved, [stageOf(['x0'], [y], TILES)])).toEqual({ largest: 1e-4 });
    await expectLossless(resolved, undefined, undefined, undefined, 0);
  });
});

test('a convolution between DequantizeLinear and QuantizeLinear computes with codes in a tile as in the network', async () => {
  const net = new Network();
  let x = quantized(net, net.input([1, 3, 14, 11]), 'uint8');
  for (let i = 0; i < 3; i++) {
    const step = net.values('float32', [], [0.01]);
    const codes = net.values(
      'int8',
      [3, 3, 3, 3],
      noise(81, i).map((value) => Math.floor(value * 120)),
    );
    const weights = net.op('DequantizeLinear', [codes, step]);
    x = quantized(net, net.op('Conv', [x, weights], { pads }), 'uint8');
  }
  await expectLossless(net.resolve(x), undefined, undefined, undefined, 0);
});

test('a padding value that is no code stays exact', async () => {
  for (const value of [0.503, 1e9, -1e9]) {
    const net = new Network();
    const codes = quantized(net, net.input([1, 3, 9, 7]), 'uint8');
    const padded = net.op('Pad', [codes, net.ints(0, 0, 2, 1, 0, 0, 1, 2), net.values('float32', [], [value])]);
    await expectLossless(net.resolve(net.op('Neg', [padded])), undefined, undefined, undefined, 0);
  }
});
