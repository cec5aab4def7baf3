import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JpegStream } from '../../../shared/camera/jpeg-stream.ts';

/** Bytes as a segment: marker, length, content. */
function segment(marker: number, content: readonly number[]): number[] {
  const size = content.length + 2;
  return [0xff, marker, size >> 8, size & 255, ...content];
}

/** Scan data as an encoder writes it: every FF is followed by 00 or a restart marker. */
function scanData(bytes: readonly number[]): number[] {
  return bytes.flatMap((byte, index) =>
    byte !== 0xff ? [byte] : index % 2 === 0 ? [0xff, 0x00] : [0xff, 0xd0 + (index % 8)],
  );
}

/** Small pictures with everything that misleads a search for the end marker: a thumbnail, fill bytes, several scans. */
const picture: fc.Arbitrary<Uint8Array> = fc
  .record({
    thumbnail: fc.boolean(),
    comment: fc.array(fc.constantFrom(0xff, 0xd8, 0xd9, 0x00, 0x41), { maxLength: 30 }),
    scans: fc.array(fc.array(fc.constantFrom(0xff, 0xd9, 0xd8, 0x00, 0x7f), { maxLength: 40 }), {
      minLength: 1,
      maxLength: 3,
    }),
    fill: fc.integer({ min: 0, max: 3 }),
  })
  .map(({ thumbnail, comment, scans, fill }) => {
    const inner = [0xff, 0xd8, ...segment(0xdb, [1, 2]), ...segment(0xda, [0]), 9, 9, 0xff, 0xd9];
    return Uint8Array.from([
      0xff,
      0xd8,
      ...(thumbnail ? segment(0xe1, [0x45, 0x78, ...inner, ...inner]) : []),
      ...segment(0xfe, comment),
      ...scans.flatMap((bytes) => [...segment(0xda, [1, 1, 0]), ...scanData(bytes)]),
      ...new Array<number>(fill).fill(0xff),
      0xff,
      0xd9,
    ]);
  });

/** What an MJPEG source may put between pictures: anything that does not start one. */
const between = fc.array(fc.constantFrom(0x00, 0x0a, 0x2d, 0xd8, 0xd9), { maxLength: 8 });

function join(parts: readonly ArrayLike<number>[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => Array.from(part)));
}

function split(
  bytes: Uint8Array,
  sizes: readonly number[],
  maxBytes?: number,
): { pictures: Uint8Array[]; stream: JpegStream } {
  const stream = new JpegStream(maxBytes);
  const pictures: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    pictures.push(...stream.push(bytes.subarray(at, at + size)));
    at += size;
  }
  return { pictures, stream };
}

const chunks = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 20 });

describe('splitting a stream of JPEGs', () => {
  it('finds every picture whole, thumbnails and all, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(between, picture), { minLength: 1, maxLength: 6 }), chunks, (items, sizes) => {
        const { pictures, stream } = split(join(items.flat()), sizes);
        expect(pictures).toEqual(items.map(([, one]) => one));
        expect(stream.skippedBytes).toBe(items.reduce((sum, [gap]) => sum + gap.length, 0));
        expect(stream.pending).toBe(0);
      }),
    );
  });

  it('does the same with any bytes at any chunking, within the limit (invariants 1 and 2)', () => {
    const noise = fc.array(
      fc.oneof(
        picture.map(Array.from<number>),
        fc.array(fc.constantFrom(0xff, 0xd8, 0xd9, 0xda, 0xe1, 0x00, 0x04), { maxLength: 20 }),
      ),
      { maxLength: 8 },
    );
    fc.assert(
      fc.property(noise, chunks, fc.integer({ min: 8, max: 120 }), (parts, sizes, limit) => {
        const bytes = join(parts);
        const whole = split(bytes, [Math.max(1, bytes.length)], limit);
        const cut = split(bytes, sizes, limit);
        expect(cut.pictures).toEqual(whole.pictures);
        expect(cut.stream.skippedBytes).toBe(whole.stream.skippedBytes);
        expect(cut.stream.pending).toBeLessThan(limit);
        for (const one of cut.pictures) expect(one.length).toBeLessThanOrEqual(limit);
      }),
    );
  });

  it('goes on with the next picture after one that was cut off, and never takes its thumbnail for a picture', () => {
    const thumbnail = [0xff, 0xd8, ...segment(0xda, [0]), 1, 0xff, 0xd9];
    const whole = Uint8Array.from([
      0xff,
      0xd8,
      ...segment(0xe1, thumbnail),
      ...segment(0xda, [0]),
      5,
      6,
      7,
      0xff,
      0xd9,
    ]);
    const { pictures, stream } = split(join([whole.subarray(0, whole.length - 3), whole]), [7]);
    expect(pictures).toEqual([whole]);
    expect(stream.skippedBytes).toBe(whole.length - 3);
  });
});
