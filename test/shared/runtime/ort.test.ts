import { beforeAll, describe, expect, it } from 'vitest';
import { writeModel } from '../../../shared/onnx/write.ts';
import { loadSession, type Session } from '../../../shared/runtime/ort.ts';
import type { Tensor } from '../../../shared/tensor/tensor.ts';
import { tinyInput, tinyNetwork } from '../../support/tiny-network.ts';

describe('a session', () => {
  let session: Session;
  beforeAll(async () => {
    session = await loadSession(writeModel(tinyNetwork()), { threads: 1 });
  });

  it('lists its inputs and outputs', () => {
    expect(session.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: [1, 3, 16, 16] }]);
    expect(session.outputs).toEqual([{ name: 'y', dtype: 'float32', shape: [1, 8, 8, 8] }]);
  });

  it('returns results in separate buffers, or else transferring one to another thread transfers others too', async () => {
    const { y } = Object.fromEntries(await session.run(new Map([['x', tinyInput()]])));
    expect(y).toMatchObject({ dtype: 'float32', shape: [1, 8, 8, 8] });
    expect([y!.data.byteOffset, y!.data.byteLength, y!.data.buffer.byteLength]).toEqual([0, 2048, 2048]);
    structuredClone(y, { transfer: [y!.data.buffer as ArrayBuffer] });
    expect((await session.run(new Map([['x', tinyInput()]]))).get('y')?.data.byteLength).toBe(2048);
  });

  it('reads bytes at odd offsets, which CBOR returns', async () => {
    const input = tinyInput();
    const shifted = new Uint8Array(input.data.byteLength + 3);
    shifted.set(input.data, 3);
    const odd = await session.run(new Map([['x', { ...input, data: shifted.subarray(3) }]]));
    const even = await session.run(new Map([['x', input]]));
    expect(odd.get('y')).toEqual(even.get('y'));
  });

  it('refuses a tensor whose bytes do not match its shape, or else the runtime reads beyond them', async () => {
    const short: Tensor = { ...tinyInput(), data: new Uint8Array(8) };
    await expect(session.run(new Map([['x', short]]))).rejects.toMatchObject({ code: 'TESSERA_RUN_FAILED' });
  });

  it('names the fault in one line', async () => {
    const small: Tensor = { dtype: 'float32', shape: [1, 3, 1, 1], data: new Uint8Array(12) };
    const failure = await session.run(new Map([['x', small]])).catch((error: Error) => error);
    expect(failure).toMatchObject({ code: 'TESSERA_RUN_FAILED' });
    expect((failure as Error).message).not.toContain('\n');
  });
});

it('throws an error with a code when a model cannot be loaded', async () => {
  await expect(loadSession('/nowhere/model.onnx', { threads: 1 })).rejects.toMatchObject({
    code: 'TESSERA_RUN_FAILED',
    message: expect.stringMatching(/^ONNX Runtime cannot load the model: .*exist/),
  });
  await expect(loadSession(new Uint8Array([1, 2, 3]), { threads: 1 })).rejects.toMatchObject({
    code: 'TESSERA_RUN_FAILED',
  });
});
