import { describe, expect, it } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { workMessage } from '../../../shared/protocol/messages/work.ts';
import { decode, encode } from '../../../shared/runtime/cbor.ts';
import { z } from '../../../shared/schema.ts';

// Lost if these fail: messages that other programs cannot read, or bytes on the network that end a process.

const work = {
  v: 1 as const,
  plan: 'p-1',
  i_id: '4-17',
  stage: 0,
  attempt: 0,
  budget_ms: 250.5,
  tiles: [
    {
      t_id: 3,
      in: [
        {
          tensor: 'x',
          box: [[0, 1] as [number, number]],
          dtype: 'uint8' as const,
          shape: [1],
          codec: { name: 'raw' as const },
          d: Uint8Array.of(1, 2, 255),
        },
      ],
      out: [],
    },
  ],
};

describe('encode and decode', () => {
  it('restore a message', () => {
    expect(decode(encode(work), workMessage, 'work')).toEqual(work);
  });

  it('write plain CBOR: definite maps, text keys, untagged byte strings (RFC 8949 appendix A)', () => {
    expect(Buffer.from(encode({ a: 1, d: Uint8Array.of(1, 2) })).toString('hex')).toBe('a2616101616442' + '0102');
  });

  it('return new buffers, which may be kept and transferred', () => {
    const first = encode({ a: 'first' });
    expect(first.byteLength).toBe(first.buffer.byteLength);
    const before = first.slice();
    encode({ a: 'other' });
    expect(first).toEqual(before);
  });

  it('keep working after a very large message', () => {
    const d = new Uint8Array(9_000_000).fill(3);
    const back = decode(encode({ d }), z.object({ d: z.instanceof(Uint8Array) }), 'x').d;
    expect(Buffer.compare(back, d)).toBe(0);
    expect(decode(encode({ a: 1 }), z.object({ a: z.number() }), 'x')).toEqual({ a: 1 });
  });

  it('read plain byte strings out of a Buffer that is part of a larger one', () => {
    const bytes = encode({ d: Uint8Array.of(5, 6) });
    const packet = Buffer.concat([Buffer.from('head'), bytes, Buffer.from('tail')]);
    const { d } = decode(packet.subarray(4, 4 + bytes.length), z.object({ d: z.instanceof(Uint8Array) }), 'x');
    expect(d.constructor).toBe(Uint8Array);
    expect([...d]).toEqual([5, 6]);
  });

  it('read 64-bit times of other senders as numbers', () => {
    const bytes = Uint8Array.from([0xa1, 0x61, 0x74, 0x1b, 0, 0, 1, 0x9a, 0, 0, 0, 0]);
    expect(decode(bytes, z.object({ t: z.number() }), 'x').t).toBe(0x19a * 2 ** 32);
  });

  it.each([
    ['nothing', new Uint8Array(0)],
    ['ff, which decodes to {}', Uint8Array.of(0xff)],
    ['a JPEG', Uint8Array.of(0xff, 0xd8, 0xff, 0xe0)],
    ['JSON', new TextEncoder().encode('{"v":1}')],
    ['a nested bomb', new Uint8Array(40_000).fill(0x81)],
    ['another schema', encode({ v: 2 })],
  ])('refuse %s with a coded error that names the message', (_what, bytes) => {
    const error = (() => {
      try {
        decode(bytes, workMessage, 'work from pi-1');
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(TesseraError);
    expect(error).toMatchObject({
      code: 'TESSERA_MESSAGE_INVALID',
      message: expect.stringMatching(/^work from pi-1: /),
    });
    // The state of a failed decoding must not leak into the next.
    expect(decode(encode(work), workMessage, 'work')).toEqual(work);
  });

  it('never set a prototype', () => {
    const bytes = Buffer.from('a1695f5f70726f746f5f5fa1617801', 'hex');
    const value = decode(bytes, z.looseObject({}), 'x');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(value.x).toBeUndefined();
  });
});
