import { describe, expect, test, vi } from 'vitest';
import { Reassembler, splitBody } from '../../../shared/protocol/parts.ts';
import { encode } from '../../../shared/runtime/cbor.ts';
import { FrameParser } from '../../../shared/runtime/frame-parser.ts';

const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 1, 2, 3);
const at = 1_763_650_000_123;
const message = (topic: string, payload: Uint8Array, retained = false) => ({ topic, payload, retained });

describe('frame parser', () => {
  test('a bare JPEG is a frame, named by its content', () => {
    const received = new FrameParser('tessera').receive(message('tessera/input/front', jpeg), at);
    expect(received).toMatchObject({
      kind: 'frame',
      arrival: { camera: 'front', named: false, time: at / 1000, envelope: { format: 'jpeg' } },
    });
    expect(received.kind === 'frame' && received.arrival.frame).toMatch(/^[0-9a-f]{16}$/);
  });

  test("the publisher's frame id is read from the topic", () => {
    const received = new FrameParser('tessera').receive(message('tessera/input/front/shot-7', jpeg), at);
    expect(received).toMatchObject({ arrival: { frame: 'shot-7', named: true } });
  });

  test('a retained frame is skipped as old', () => {
    expect(new FrameParser('tessera').receive(message('tessera/input/front', jpeg, true), at)).toMatchObject({
      kind: 'skipped',
      reason: 'retained',
    });
  });

  test('an envelope in parts is one frame, in whatever order they arrive', () => {
    const parser = new FrameParser('tessera');
    const d = new Uint8Array(1000).fill(5);
    const body = encode({ v: 1, format: 'tensor', dtype: 'uint8', shape: [1000], time: 5, d });
    const parts = splitBody(body, 'x', 400).map((part) => encode(part));
    const kinds = parts.toReversed().map((part) => parser.receive(message('tessera/input/front', part), at));
    expect(kinds.slice(0, -1).every(({ kind }) => kind === 'pending')).toBe(true);
    expect(kinds.at(-1)).toMatchObject({ kind: 'frame', arrival: { time: 5, envelope: { format: 'tensor', d } } });
  });

  test('CBOR may begin with its self-describing tag', () => {
    const body = encode({ v: 1, format: 'jpeg', d: jpeg });
    const tagged = Uint8Array.from([0xd9, 0xd9, 0xf7, ...body]);
    expect(new FrameParser('tessera').receive(message('tessera/input/front', tagged), at)).toMatchObject({
      kind: 'frame',
    });
  });

  test('a trace context comes with the message, or in the envelope; one of another form is ignored', () => {
    const context = (trace: string) => `00-${trace.repeat(32)}-00f067aa0ba902b7-01`;
    const parse = (more: object, traceparent?: string) => {
      const body = encode({ v: 1, format: 'jpeg', d: jpeg, ...more });
      const property = traceparent === undefined ? {} : { traceparent };
      const received = new FrameParser('tessera').receive({ ...message('tessera/input/front', body), ...property }, at);
      return received.kind === 'frame' ? received.arrival.traceparent : received.kind;
    };
    expect(parse({})).toBeUndefined();
    expect(parse({ traceparent: context('a') })).toBe(context('a'));
    expect(parse({ traceparent: context('a') }, context('b'))).toBe(context('b'));
    expect(parse({ traceparent: 'mine' })).toBeUndefined();
  });

  test('parts within parts are refused: unpacking each level would copy everything in it', () => {
    let body = encode({ v: 1, format: 'jpeg', d: jpeg });
    for (let k = 0; k < 30; k++) body = encode(splitBody(body, `${k}`, 1_000_000)[0]);
    const unpacked = vi.spyOn(Reassembler.prototype, 'accept');
    expect(new FrameParser('tessera').receive(message('tessera/input/front', body), at)).toMatchObject({
      reason: 'invalid',
    });
    expect(unpacked).toHaveBeenCalledTimes(1);
    unpacked.mockRestore();
  });

  test("one camera's incomplete frames do not displace another's", () => {
    const parser = new FrameParser('tessera');
    const d = new Uint8Array(2 ** 20);
    const part = (id: string) => encode({ v: 1, m: id, part: [0, 2], d });
    for (let k = 0; k < 300; k++)
      expect(parser.receive(message(`tessera/input/bad/${k}`, part('x')), at).kind).toBe('pending');
    expect(parser.receive(message('tessera/input/good/1', part('y')), at).kind).toBe('pending');
  });

  test.each([
    ['text', new TextEncoder().encode('hello')],
    ['nothing', new Uint8Array()],
    ['a GIF', new TextEncoder().encode('GIF89a....')],
    ['CBOR of something else', encode({ a: 1 })],
    ['CBOR cut short', encode({ v: 1, format: 'jpeg', d: jpeg }).subarray(0, 9)],
  ])('%s is skipped with a reason', (_, payload) => {
    expect(new FrameParser('tessera').receive(message('tessera/input/front', payload), at)).toMatchObject({
      kind: 'skipped',
      reason: 'invalid',
    });
  });

  test.each(['tessera/input/fr ont', 'tessera/input/a/b/c', 'tessera/input/', 'tessera/input/front/ü'])(
    'the topic %s is refused',
    (topic) => {
      expect(new FrameParser('tessera').receive(message(topic, jpeg), at)).toMatchObject({ reason: 'invalid' });
    },
  );
});
