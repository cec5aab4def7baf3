import { describe, expect, it } from 'vitest';
import { decodeInput, type FrameInput } from '../../../shared/node/frame-input.ts';
import type { FrameEnvelope } from '../../../shared/protocol/messages/frame.ts';

/** If these fail, frames reach a network as something else than what was sent. */

const tensors: FrameInput = {
  model: 'm',
  input: { name: 'x', dtype: 'float32', shape: [1, 2] },
  picture: undefined,
};
const pictures: FrameInput = {
  model: 'm',
  input: { name: 'image', dtype: 'uint8', shape: [1, 1, 2, 1] },
  picture: { tensor: 'image', width: 2, height: 1, color: 'gray', resize: 'stretch', crop: 1 },
};
const tensor: FrameEnvelope = { v: 1, format: 'tensor', d: new Uint8Array(8).fill(7) };
const picture: FrameEnvelope = { v: 1, format: 'gray', dtype: 'uint8', shape: [1, 2, 1], d: Uint8Array.of(10, 200) };

describe('a frame becomes the input', () => {
  it('as it is where it is a tensor', async () => {
    const sent = { ...tensor, dtype: 'float32' as const, shape: [1, 2] };
    expect(await decodeInput(sent, tensors)).toEqual({ data: sent.d, source: null });
  });

  it('as pixels where it is a picture, with the way back to the source', async () => {
    const { data, source } = await decodeInput(picture, pictures);
    expect([...data]).toEqual([10, 200]);
    expect(source).toMatchObject({ width: 2, height: 1, mapping: { scaleX: 1, scaleY: 1 } });
  });

  it.each<[string, FrameEnvelope, FrameInput]>([
    ['a picture for tensors', picture, tensors],
    ['a tensor for pictures', tensor, pictures],
    ['too few bytes', { ...tensor, d: new Uint8Array(4) }, tensors],
    ['another type', { ...tensor, dtype: 'int32' }, tensors],
    ['another shape', { ...tensor, shape: [2, 1] }, tensors],
    ['a picture without its bytes', { ...picture, d: new Uint8Array(1) }, pictures],
  ])('and not where it is %s', async (_what, frame, input) => {
    await expect(decodeInput(frame, input)).rejects.toMatchObject({ code: 'TESSERA_INPUT_INVALID' });
  });
});
