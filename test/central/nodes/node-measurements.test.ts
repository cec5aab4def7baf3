import { describe, expect, it } from 'vitest';
import { type MeasureAnswer, NodeMeasurements } from '../../../central/nodes/node-measurements.ts';
import type { MeasureOrder } from '../../../shared/node/measurements.ts';

function ordered(send: (node: string, order: MeasureOrder) => Promise<void> = async () => {}) {
  const sent: { node: string; order: MeasureOrder }[] = [];
  const measurements = new NodeMeasurements({
    epoch: 3,
    send: async (node, order) => {
      sent.push({ node, order });
      await send(node, order);
    },
  });
  return {
    sent,
    measurements,
    probe: (node: string) => measurements.order(node, { type: 'probe', to: 'b', repeats: 2 }),
  };
}

const probed = (request: number): MeasureAnswer => {
  return { v: 1, type: 'probed', request, echoes: [{ bytes: 0, ms: [1] }], message_ms: 0.1 };
};

describe('measurements that central orders', () => {
  it('resolve to the answer with their number', async () => {
    const { sent, measurements, probe } = ordered();
    const [first, second] = [probe('a'), probe('a')];
    expect(sent.map(({ order }) => order)).toEqual([
      { v: 1, type: 'probe', to: 'b', repeats: 2, epoch: 3, request: 0 },
      { v: 1, type: 'probe', to: 'b', repeats: 2, epoch: 3, request: 1 },
    ]);
    measurements.answered('a', probed(1));
    expect(await second).toEqual(probed(1));
    expect(measurements.isAwaited('a', 0)).toBe(true);
    measurements.answered('a', probed(0));
    expect(await first).toEqual(probed(0));
    expect(measurements.isAwaited('a', 0)).toBe(false);
  });

  it('take no answer of another node', async () => {
    const { measurements, probe } = ordered();
    const answer = probe('a');
    expect(measurements.isAwaited('c', 0)).toBe(false);
    measurements.answered('c', { v: 1, type: 'unmeasured', request: 0, code: 'TESSERA_BLOB', text: 'a lie' });
    measurements.answered('a', probed(0));
    expect(await answer).toEqual(probed(0));
  });

  it('fail with the reason of the node', async () => {
    const { measurements, probe } = ordered();
    const answer = probe('a');
    measurements.answered('a', { v: 1, type: 'unmeasured', request: 0, code: 'TESSERA_BLOB', text: 'no such piece' });
    await expect(answer).rejects.toMatchObject({
      code: 'TESSERA_RUN_FAILED',
      message: 'node a could not measure it: no such piece',
    });
  });

  it('fail when their node goes offline, and not when another one does', async () => {
    const { measurements, probe } = ordered();
    const [a, c] = [probe('a'), probe('c')];
    measurements.offline('a');
    await expect(a).rejects.toMatchObject({ code: 'TESSERA_NO_NODES' });
    measurements.answered('c', probed(1));
    await c;
  });

  it('fail when the order cannot be sent', async () => {
    const { probe } = ordered(async () => {
      throw new Error('no connection');
    });
    await expect(probe('a')).rejects.toThrow('no connection');
  });
});
