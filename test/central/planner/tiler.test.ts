import { describe, expect, it } from 'vitest';
import { planningNetwork } from '../../../central/planner/tiler.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import { Network } from '../../shared/tiling/network.ts';
import { tinyPlan } from '../../support/tiny-network.ts';

/** Maps, then two dense layers. */
function dense() {
  const net = new Network();
  const image = net.input([1, 2, 4, 4]);
  const conv = net.conv(image, 2, 4, [3, 3], { pads: [1, 1, 1, 1] });
  const hidden = net.op('Relu', [net.op('Gemm', [net.op('Flatten', [conv]), net.weight(64, 8), net.weight(8)])]);
  const out = net.op('Gemm', [hidden, net.weight(8, 3)]);
  return { resolved: net.resolve(out), image, conv, hidden, out };
}

describe('the slices of channels that a strategy can plan', () => {
  const { resolved, image, conv, hidden, out } = dense();
  const { tiler } = planningNetwork(resolved);

  it('of a dense layer: how many channels, and what each slice costs', () => {
    const stage = tiler.channels([conv], [hidden]);
    expect(stage).toEqual({ inputs: [conv], outputs: [hidden], reference: hidden, channels: 8, step: 1 });
    if ('kind' in stage) throw new Error(stage.reason);
    expect(tiler.slices(stage, [6, 2])).toEqual([
      { macs: 6 * 64, bytes_in: 256, bytes_out: 24, weight_bytes: 4 * (6 * 64 + 6) },
      { macs: 2 * 64, bytes_in: 256, bytes_out: 8, weight_bytes: 4 * (2 * 64 + 2) },
    ]);
  });

  it('of two layers in a row: none, with the reason', () => {
    expect(tiler.channels([conv], [out])).toMatchObject({
      kind: 'impossible',
      reason: expect.stringMatching(/Gemm "[^"]+": it needs all channels of/),
      hint: expect.any(String),
    });
  });

  it('are counted in the cost of a plan: each part reads all inputs, and no product is computed twice', () => {
    const split = { kind: 'channels', sizes: [6, 2] } as const;
    const plan = tinyPlan('b'.repeat(64), split);
    const [stage] = plan.stages;
    const central = { mode: 'share', nodes: ['central'] } as const;
    const { cost, stages } = compilePlan(
      {
        ...plan,
        stages: [
          { ...stage!, inputs: [image], outputs: [conv], split: { kind: 'whole' }, on: central },
          { ...stage!, id: 1, inputs: [conv], outputs: [hidden] },
          { ...stage!, id: 2, inputs: [hidden], outputs: [out], split: { kind: 'whole' }, on: central },
        ],
      },
      resolved,
    );
    expect(stages[1]!.parts.map((part) => [part.cost, part.bytes_in, part.bytes_out])).toEqual([
      [384, 256, 24],
      [128, 256, 8],
    ]);
    expect(cost).toMatchObject({ bytesOut: 512, bytesBack: 32, work: 1, input: 2 });
  });
});
