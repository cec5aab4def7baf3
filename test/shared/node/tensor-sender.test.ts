import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TensorSender } from '../../../shared/node/tensor-sender.ts';
import { type TensorMessage, tensorMessage } from '../../../shared/protocol/messages/work.ts';
import { encode } from '../../../shared/runtime/cbor.ts';

const ADDRESS = { plan: 'p-1', i_id: '1-1', stage: 0, attempt: 2 };

function region(bytes: number, start = 0) {
  return {
    tensor: 'features/conv2_2/relu',
    box: [[start, start + bytes] as [number, number]],
    dtype: 'uint8' as const,
    shape: [bytes],
    codec: { name: 'raw' as const },
    d: new Uint8Array(bytes),
  };
}

function sender(limit = 10_000) {
  const sent: [string, TensorMessage][] = [];
  const tensors = new TensorSender(
    async (to, message) => void sent.push([to, tensorMessage.parse(message)]),
    ADDRESS,
    limit,
  );
  return { tensors, sent };
}

describe('regions for other nodes', () => {
  it('of all parts of one work travel in one message to each node', async () => {
    const { tensors, sent } = sender();
    const first = tensors.add(0, [{ region: region(10), to: ['n-1', 'n-2'] }]);
    const second = tensors.add(1, [{ region: region(20), to: ['n-1'] }]);
    expect(sent).toEqual([]);
    tensors.flush();
    await Promise.all([first, second]);
    expect(sent.map(([to, { tiles }]) => [to, tiles.map(({ t_id, out }) => [t_id, out.length])])).toEqual([
      [
        'n-1',
        [
          [0, 1],
          [1, 1],
        ],
      ],
      ['n-2', [[0, 1]]],
    ]);
    expect(sent[0]![1]).toMatchObject({ v: 1, ...ADDRESS });
  });

  it('are reported as sent only once the network has them', async () => {
    let handOver = (): void => {};
    const slow = new TensorSender(() => new Promise<void>((resolve) => (handOver = resolve)), ADDRESS, 1000);
    let isSent = false;
    const done = slow.add(0, [{ region: region(1), to: ['n-1'] }]).then(() => {
      isSent = true;
    });
    slow.flush();
    await new Promise(setImmediate);
    expect(isSent).toBe(false);
    handOver();
    await done;
  });

  it('that could not be sent are reported', async () => {
    const broken = new TensorSender(() => Promise.reject(new Error('gone')), ADDRESS, 1000);
    const added = broken.add(0, [{ region: region(1), to: ['n-1'] }]);
    broken.flush();
    await expect(added).rejects.toThrow('gone');
  });

  it('each leave once for each of their nodes, and no message is larger than allowed (invariants 1 and 2)', async () => {
    const regions = fc.array(
      fc.record({
        t: fc.nat(3),
        bytes: fc.integer({ min: 1, max: 6000 }),
        to: fc.uniqueArray(fc.constantFrom('n-1', 'n-2', 'n-3'), { minLength: 1 }),
      }),
      { maxLength: 20 },
    );
    await fc.assert(
      fc.asyncProperty(regions, async (list) => {
        const { tensors, sent } = sender();
        const added = list.map(({ t, bytes, to }, k) => tensors.add(t, [{ region: region(bytes, k * 10_000), to }]));
        tensors.flush();
        await Promise.all(added);
        const left = sent.flatMap(([to, { tiles }]) =>
          tiles.flatMap(({ t_id, out }) => out.map(({ box }) => `${to} ${t_id} ${box[0]![0] / 10_000}`)),
        );
        const asked = list.flatMap(({ t, to }, k) => to.map((node) => `${node} ${t} ${k}`));
        expect(left.sort()).toEqual(asked.sort());
        for (const [, message] of sent)
          if (message.tiles.length > 1) expect(encode(message).byteLength).toBeLessThanOrEqual(10_000);
      }),
    );
  });
});
