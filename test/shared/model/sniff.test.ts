import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { describeBytes, isAnimatedPng, sniff } from '../../../shared/model/sniff.ts';
import { encode } from '../../../shared/runtime/cbor.ts';

const picture = () => sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } });
const text = (value: string) => new TextEncoder().encode(value);

describe('sniff', () => {
  it('tells pictures and envelopes apart by their first bytes', async () => {
    expect(sniff(await picture().jpeg().toBuffer())).toBe('jpeg');
    expect(sniff(await picture().png().toBuffer())).toBe('png');
    expect(sniff(encode({ v: 1, format: 'rgb', d: new Uint8Array(70000) }))).toBe('cbor');
    expect(sniff(Uint8Array.of(0xd9, 0xd9, 0xf7, 0xa1, 0x61, 0x76, 1))).toBe('cbor');
  });

  it('knows nothing of what is not accepted', async () => {
    for (const bytes of [
      await picture().gif().toBuffer(),
      await picture().webp().toBuffer(),
      text('<svg/>'),
      text('{}'),
    ])
      expect(sniff(bytes)).toBeUndefined();
    expect(sniff(new Uint8Array(0))).toBeUndefined();
    expect(sniff(Uint8Array.of(0xff))).toBeUndefined();
  });

  it('never throws, and describes anything in a line', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        sniff(bytes);
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

describe('isAnimatedPng', () => {
  it('finds an animation before the pixels, and nothing in a still picture', async () => {
    const still = await picture().png().toBuffer();
    expect(isAnimatedPng(still)).toBe(false);
    const control = Buffer.concat([Buffer.from([0, 0, 0, 8]), Buffer.from('acTL'), Buffer.alloc(12)]);
    expect(isAnimatedPng(Buffer.concat([still.subarray(0, 33), control, still.subarray(33)]))).toBe(true);
  });
});
