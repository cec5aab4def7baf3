import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { adviceFor, describeBytes, isAnimatedPng, payloadKind } from '../../../shared/model/payload-kind.ts';
import { encode } from '../../../shared/runtime/cbor.ts';

const picture = () => sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } });
const text = (value: string) => new TextEncoder().encode(value);

describe('payloadKind', () => {
  it('recognises pictures and envelopes by their first bytes', async () => {
    expect(payloadKind(await picture().jpeg().toBuffer())).toBe('jpeg');
    expect(payloadKind(await picture().png().toBuffer())).toBe('png');
    expect(payloadKind(encode({ v: 1, format: 'rgb', d: new Uint8Array(70000) }))).toBe('cbor');
    expect(payloadKind(Uint8Array.of(0xd9, 0xd9, 0xf7, 0xa1, 0x61, 0x76, 1))).toBe('cbor');
  });

  it('is undefined for payloads that are not accepted', async () => {
    for (const bytes of [
      await picture().gif().toBuffer(),
      await picture().webp().toBuffer(),
      text('<svg/>'),
      text('{}'),
    ])
      expect(payloadKind(bytes)).toBeUndefined();
    expect(payloadKind(new Uint8Array(0))).toBeUndefined();
    expect(payloadKind(Uint8Array.of(0xff))).toBeUndefined();
  });

  it('never throws, and describes anything in a line', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        payloadKind(bytes);
        isAnimatedPng(bytes);
        expect(describeBytes(bytes)).toMatch(/^[^\n]+$/);
      }),
    );
  });
});

describe('describeBytes', () => {
  it('names what people send by mistake', async () => {
    expect(describeBytes(await picture().gif().toBuffer())).toBe('a GIF');
    expect(describeBytes(await picture().webp().toBuffer())).toBe('a WebP picture');
    expect(describeBytes(await picture().tiff().toBuffer())).toBe('a TIFF picture');
    expect(describeBytes(await picture().avif().toBuffer())).toBe('a HEIC or AVIF picture');
    expect(describeBytes(text('<?xml version="1.0"?><svg/>'))).toBe('text in XML, SVG or HTML');
    expect(describeBytes(text('{"a":1}'))).toBe('JSON');
    expect(describeBytes(new Uint8Array(0))).toBe('empty');
    expect(describeBytes(Uint8Array.of(0, 1, 2))).toBe('3 bytes that begin with 00 01 02');
  });
});

describe('a picture encoded as text', () => {
  const base64 = async (format: 'jpeg' | 'png' | 'webp' = 'jpeg') =>
    Buffer.from(await picture().toFormat(format).toBuffer()).toString('base64');

  it('is named, whichever way it is written', async () => {
    const jpeg = await base64();
    const bytes = [...Buffer.from(jpeg, 'base64')];
    const said: [string, string][] = [
      [jpeg, 'a JPEG as base64 text'],
      [` \n${jpeg}\n`, 'a JPEG as base64 text'],
      [`"${jpeg}"`, 'a JPEG as base64 text'],
      [jpeg.replace(/\+/g, '-').replace(/\//g, '_'), 'a JPEG as base64 text'],
      [jpeg.replace(/(.{76})/g, '$1\r\n'), 'a JPEG as base64 text'],
      [await base64('png'), 'a PNG as base64 text'],
      [await base64('webp'), 'a WebP picture as base64 text'],
      [`data:image/jpeg;base64,${jpeg}`, 'a JPEG as a data: address in base64'],
      [`data:image/jpeg;charset=utf-8;base64,${jpeg}`, 'a JPEG as a data: address in base64'],
      [JSON.stringify({ time: 1, image: jpeg }), 'JSON with a JPEG as base64 text'],
      [JSON.stringify({ image: `data:image/png;base64,${await base64('png')}` }), 'JSON with a PNG as base64 text'],
      [JSON.stringify([{ image: jpeg }]), 'JSON with a JPEG as base64 text'],
      [JSON.stringify({ type: 'Buffer', data: bytes }), 'JSON with a picture as a list of numbers'],
      [Buffer.from(jpeg, 'base64').toString('hex'), 'a picture as hexadecimal text'],
      [Buffer.from('no picture, but a long text with 12 Words. '.repeat(3), 'utf8').toString('base64'), 'base64 text'],
    ];
    for (const [written, expected] of said) {
      expect(payloadKind(text(written))).toBeUndefined();
      expect(describeBytes(text(written))).toBe(expected);
      expect(adviceFor(text(written), 'message')).toMatch(/^publish the bytes/);
      expect(adviceFor(text(written), 'file')).not.toMatch(/convert/);
    }
  });

  it('is distinguished from other text', () => {
    expect(describeBytes(text('hello'))).toMatch(/5 bytes/);
    expect(describeBytes(text('{"on": true, "name": "a_long_name_of_something"}'))).toBe('JSON');
    expect(describeBytes(text('offline'))).toMatch(/7 bytes/);
  });
});

describe('adviceFor', () => {
  it('advises how to convert other pictures', async () => {
    expect(adviceFor(await picture().avif().toBuffer(), 'file')).toMatch(/heif-convert/);
    expect(adviceFor(await picture().webp().toBuffer(), 'file')).toBe('convert it to JPEG or PNG first');
    expect(adviceFor(text(''), 'file')).toBe('save or download the picture again: the file holds nothing');
    expect(adviceFor(text('\0\0\0\x18ftypisom'), 'file')).toMatch(/ffmpeg/);
  });
});

describe('isAnimatedPng', () => {
  it('finds an animation before the pixels, and nothing in a still picture', async () => {
    const still = await picture().png().toBuffer();
    expect(isAnimatedPng(still)).toBe(false);
    const control = Buffer.concat([Buffer.from([0, 0, 0, 8]), Buffer.from('acTL'), Buffer.alloc(12)]);
    expect(isAnimatedPng(Buffer.concat([still.subarray(0, 33), control, still.subarray(33)]))).toBe(true);
  });
});
