import fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import type { PictureInput } from '../../../shared/model/picture-placement.ts';
import { decodeFrame, encodeJpeg, type PictureFrame } from '../../../shared/runtime/image.ts';

const RED = [255, 0, 0] as const;
const GREEN = [0, 255, 0] as const;
const BLUE = [0, 0, 255] as const;
const WHITE = [255, 255, 255] as const;

/** Pixels [h, w, 3] whose quarters are red, green (above), blue, white (below). */
function quarters(width: number, height: number): Uint8Array {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const colour = y < height / 2 ? (x < width / 2 ? RED : GREEN) : x < width / 2 ? BLUE : WHITE;
      rgb.set(colour, (y * width + x) * 3);
    }
  return rgb;
}

const raw = (rgb: Uint8Array, width: number, height: number) => sharp(rgb, { raw: { width, height, channels: 3 } });
const stretch = (width: number, height: number, color: PictureInput['color'] = 'rgb'): PictureInput => ({
  width,
  height,
  color,
  resize: 'stretch',
  crop: 1,
});
const pixel = (data: Uint8Array, width: number, x: number, y: number, channels = 3) => [
  ...data.subarray((y * width + x) * channels, (y * width + x + 1) * channels),
];

/** Whether two colours differ by no more than the loss of JPEG. */
function close(actual: readonly number[], expected: readonly number[], most = 12) {
  for (const [channel, value] of expected.entries())
    expect(Math.abs(actual[channel]! - value)).toBeLessThanOrEqual(most);
}

function seesQuarters(data: Uint8Array, width: number, height: number, most?: number) {
  close(pixel(data, width, 1, 1), RED, most);
  close(pixel(data, width, width - 2, 1), GREEN, most);
  close(pixel(data, width, 1, height - 2), BLUE, most);
  close(pixel(data, width, width - 2, height - 2), WHITE, most);
}

async function refusal(frame: Parameters<typeof decodeFrame>[0], input = stretch(8, 8)): Promise<TesseraError> {
  const error = await decodeFrame(frame, input).then(
    () => new Error('the frame was accepted'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TesseraError);
  return error as TesseraError;
}

describe('decodeFrame: a section of a picture', () => {
  it('has the pixels of the section alone, whose mapping leads to them, also of a picture that EXIF turns', async () => {
    const upright = await raw(quarters(64, 48), 64, 48).jpeg().toBuffer();
    // Turned by 270 degrees and said to be so.
    const turned = await sharp(await raw(quarters(64, 48), 64, 48).rotate(270).png().toBuffer())
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    for (const jpeg of [upright, turned]) {
      const sectionOf = ({ width, height }: { width: number; height: number }) => {
        expect([width, height]).toEqual([64, 48]);
        return { left: 32, top: 0, width: 32, height: 24 };
      };
      const { data, sourceWidth, mapping } = await decodeFrame(jpeg, stretch(8, 8), undefined, sectionOf);
      for (const [x, y] of [
        [1, 1],
        [6, 6],
      ] as const)
        close(pixel(data, 8, x, y), GREEN, 20);
      expect(sourceWidth).toBe(64);
      expect(mapping).toEqual({ scaleX: 4, scaleY: 3, offsetX: 0, offsetY: 0 });
    }
  });
});

describe('decodeFrame: pictures of cameras and phones', () => {
  it('decodes JPEG and PNG', async () => {
    const picture = raw(quarters(64, 48), 64, 48);
    for (const bytes of [await picture.jpeg({ quality: 95 }).toBuffer(), await picture.png().toBuffer()]) {
      const decoded = await decodeFrame(bytes, stretch(32, 24));
      expect(decoded).toMatchObject({
        sourceWidth: 64,
        sourceHeight: 48,
        mapping: { scaleX: 2, scaleY: 2, offsetX: 0, offsetY: 0 },
      });
      expect(decoded.data).toHaveLength(32 * 24 * 3);
      seesQuarters(decoded.data, 32, 24);
    }
  });

  // EXIF 2.32, tag 0x0112: what has to be done to the stored picture to see it upright, undone here.
  const stored: Record<number, (upright: Sharp) => Sharp> = {
    1: (upright) => upright,
    2: (upright) => upright.flop(),
    3: (upright) => upright.rotate(180),
    4: (upright) => upright.flip(),
    5: (upright) => upright.rotate(270).flop(),
    6: (upright) => upright.rotate(270),
    7: (upright) => upright.rotate(90).flop(),
    8: (upright) => upright.rotate(90),
  };
  for (const [orientation, turn] of Object.entries(stored))
    for (const resize of ['stretch', 'crop', 'letterbox'] as const)
      for (const scale of [1, 8])
        it(`turns by EXIF orientation ${orientation}, ${resize}, ${scale === 8 ? 'shrinking while decoding' : 'whole'}`, async () => {
          const [width, height] = [96 * scale, 64 * scale];
          const turned = await turn(raw(quarters(width, height), width, height))
            .png()
            .toBuffer();
          const bytes = await sharp(turned)
            .withMetadata({ orientation: Number(orientation) })
            .jpeg({ quality: 95 })
            .toBuffer();
          const decoded = await decodeFrame(bytes, { width: 48, height: 32, color: 'rgb', resize, crop: 0.75 });
          expect(decoded).toMatchObject({ sourceWidth: width, sourceHeight: height });
          seesQuarters(decoded.data, 48, 32);
        });

  it('makes RGB of grey, 16 bit, palette and CMYK pictures', async () => {
    const picture = () => raw(quarters(32, 32), 32, 32);
    seesQuarters((await decodeFrame(await picture().png({ palette: true }).toBuffer(), stretch(16, 16))).data, 16, 16);
    seesQuarters(
      (await decodeFrame(await picture().toColourspace('rgb16').png().toBuffer(), stretch(16, 16))).data,
      16,
      16,
      1,
    );
    const cmyk = await decodeFrame(
      await picture().toColourspace('cmyk').jpeg({ quality: 95 }).toBuffer(),
      stretch(16, 16),
    );
    const [red, green, blue] = pixel(cmyk.data, 16, 2, 2) as [number, number, number];
    expect(red).toBeGreaterThan(200);
    expect(Math.max(green, blue)).toBeLessThan(80);
    const flat = (value: number) => raw(new Uint8Array(32 * 32 * 3).fill(value), 32, 32);
    for (const space of ['b-w', 'grey16'])
      close(
        pixel((await decodeFrame(await flat(90).toColourspace(space).png().toBuffer(), stretch(8, 8))).data, 8, 4, 4),
        [90, 90, 90],
        1,
      );
    close(
      pixel((await decodeFrame(await flat(90).greyscale().jpeg().toBuffer(), stretch(8, 8))).data, 8, 4, 4),
      [90, 90, 90],
      2,
    );
  });

  it('shows transparent pictures on white', async () => {
    const glass = sharp({ create: { width: 8, height: 8, channels: 4, background: { r: 0, g: 0, b: 255, alpha: 0 } } });
    const { data } = await decodeFrame(await glass.png().toBuffer(), stretch(4, 4));
    expect(pixel(data, 4, 1, 1)).toEqual([255, 255, 255]);
  });

  it('gives BT.601 luma to networks of one channel', async () => {
    const bytes = await raw(quarters(16, 16), 16, 16).png().toBuffer();
    for (const color of ['gray', 'y'] as const) {
      const { data } = await decodeFrame(bytes, stretch(16, 16, color));
      expect(data).toHaveLength(256);
      expect([data[0], data[15], data[240], data[255]]).toEqual([76, 150, 29, 255]);
    }
  });

  it('gives RGB also for bgr networks, as the graph swaps the planes', async () => {
    const { data } = await decodeFrame(await raw(quarters(8, 8), 8, 8).png().toBuffer(), stretch(8, 8, 'bgr'));
    expect(pixel(data, 8, 0, 0)).toEqual([...RED]);
  });

  it('pads a letterboxed picture with the grey that YOLO was trained with', async () => {
    const { data, mapping } = await decodeFrame(await raw(quarters(32, 16), 32, 16).png().toBuffer(), {
      width: 16,
      height: 16,
      color: 'rgb',
      resize: 'letterbox',
      crop: 1,
    });
    expect(pixel(data, 16, 8, 0)).toEqual([114, 114, 114]);
    expect(pixel(data, 16, 8, 15)).toEqual([114, 114, 114]);
    expect(pixel(data, 16, 0, 4)).toEqual([...RED]);
    expect(mapping).toEqual({ scaleX: 2, scaleY: 2, offsetX: 0, offsetY: -8 });
  });
});

describe('decodeFrame: mapping', () => {
  /** Centre of the white area in an otherwise black picture. */
  function centreOfWhite(data: Uint8Array, width: number): [number, number] {
    let [sum, sumX, sumY] = [0, 0, 0];
    for (let i = 0; i < data.length; i++) {
      if (data[i]! < 40) continue;
      sum += data[i]!;
      sumX += data[i]! * ((i % width) + 0.5);
      sumY += data[i]! * (Math.floor(i / width) + 0.5);
    }
    return [sumX / sum, sumY / sum];
  }

  it.each([
    ['a JPEG that shrinks while it is decoded', 1201, 797, 'jpeg', 'crop'],
    ['a JPEG that does not', 301, 233, 'jpeg', 'crop'],
    ['a PNG', 1201, 797, 'png', 'crop'],
    ['a letterboxed JPEG', 1201, 797, 'jpeg', 'letterbox'],
    ['a stretched JPEG', 1201, 797, 'jpeg', 'stretch'],
  ] as const)('leads back to where a thing lies in the frame: %s', async (_, width, height, format, resize) => {
    const rgb = new Uint8Array(width * height * 3);
    const [left, top, side] = [Math.round(width * 0.6), Math.round(height * 0.3), Math.round(height / 8)];
    for (let y = top; y < top + side; y++) rgb.fill(255, (y * width + left) * 3, (y * width + left + side) * 3);
    const bytes = await raw(rgb, width, height).toFormat(format).toBuffer();
    const { data, mapping } = await decodeFrame(bytes, { width: 112, height: 112, color: 'gray', resize, crop: 0.875 });
    const seen = data.map((value) => (value === 114 ? 0 : value));
    const [x, y] = centreOfWhite(seen, 112);
    // A third of a pixel of the input.
    expect(Math.abs(x * mapping.scaleX + mapping.offsetX - (left + side / 2))).toBeLessThan(mapping.scaleX / 3);
    expect(Math.abs(y * mapping.scaleY + mapping.offsetY - (top + side / 2))).toBeLessThan(mapping.scaleY / 3);
  });

  it('handles pictures of one pixel and of extreme shapes', async () => {
    for (const [width, height] of [
      [1, 1],
      [1, 3000],
      [3000, 1],
    ] as const)
      for (const resize of ['crop', 'stretch', 'letterbox'] as const) {
        const bytes = await raw(new Uint8Array(width * height * 3).fill(7), width, height)
          .jpeg()
          .toBuffer();
        const decoded = await decodeFrame(bytes, { width: 20, height: 10, color: 'rgb', resize, crop: 0.875 });
        expect(decoded.data).toHaveLength(600);
      }
  });
});

describe('decodeFrame: raw pixels', () => {
  const rgb = quarters(8, 8);

  it('accepts rgb, bgr and gray', async () => {
    expect((await decodeFrame({ format: 'rgb', shape: [8, 8, 3], d: rgb }, stretch(8, 8))).data).toEqual(rgb);
    const bgr = rgb.map((_, i) => rgb[i - (i % 3) + 2 - (i % 3)]!);
    expect((await decodeFrame({ format: 'bgr', shape: [8, 8, 3], d: bgr }, stretch(8, 8))).data).toEqual(rgb);
    const gray = Uint8Array.from({ length: 64 }, (_, i) => i);
    for (const shape of [
      [8, 8],
      [8, 8, 1],
    ])
      expect((await decodeFrame({ format: 'gray', shape, d: gray }, stretch(8, 8, 'gray'))).data).toEqual(gray);
  });

  it('refuses bytes that do not match the shape', async () => {
    for (const shape of [undefined, [8, 8], [8, 8, 4], [0, 8, 3], [8, 8, 3, 1], [8, 9, 3]])
      expect((await refusal({ format: 'rgb', ...(shape === undefined ? {} : { shape }), d: rgb })).code).toBe(
        'TESSERA_INPUT_INVALID',
      );
    const floats: PictureFrame = { format: 'rgb', dtype: 'float32', shape: [4, 4, 3], d: rgb };
    expect((await refusal(floats)).message).toContain('uint8');
    expect((await refusal({ format: 'tensor', d: rgb })).code).toBe('TESSERA_INPUT_INVALID');
    const huge = await refusal({ format: 'gray', shape: [2 ** 20, 2 ** 20], d: rgb });
    expect(huge.code).toBe('TESSERA_INPUT_TOO_LARGE');
  });
});

describe('decodeFrame: pictures to refuse', () => {
  it('refuses every other format, and names it', async () => {
    const picture = () => raw(quarters(8, 8), 8, 8);
    const svg = new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    for (const [bytes, words] of [
      [await picture().gif().toBuffer(), 'a GIF'],
      [await picture().webp().toBuffer(), 'a WebP'],
      [await picture().tiff().toBuffer(), 'a TIFF'],
      [svg, 'SVG'],
      [new Uint8Array(0), 'empty'],
    ] as const) {
      const error = await refusal(bytes);
      expect(error.code).toBe('TESSERA_INPUT_INVALID');
      expect(error.message).toContain(words);
      expect(error.hint).toBeDefined();
    }
  });

  it('refuses pictures that end early, which would otherwise be half grey', async () => {
    const noise = Uint8Array.from({ length: 200 * 200 * 3 }, (_, i) => (Math.imul(i, 2654435761) >>> 13) & 255);
    for (const format of ['jpeg', 'png'] as const) {
      const bytes = await raw(noise, 200, 200).toFormat(format).toBuffer();
      for (const share of [0.3, 0.9, 0.995]) {
        const error = await refusal(bytes.subarray(0, Math.floor(bytes.length * share)));
        expect(error.code).toBe('TESSERA_INPUT_INVALID');
      }
    }
  });

  it('refuses too many pixels before it decodes them', async () => {
    const bytes = await raw(quarters(64, 64), 64, 64).png().toBuffer();
    const limits = { maxPixels: 64 * 64, maxSide: 64 };
    expect((await decodeFrame(bytes, stretch(8, 8), limits)).sourceWidth).toBe(64);
    await expect(decodeFrame(bytes, stretch(8, 8), { maxPixels: 4095, maxSide: 64 })).rejects.toMatchObject({
      code: 'TESSERA_INPUT_TOO_LARGE',
    });
    const vast = await sharp({ create: { width: 8000, height: 7000, channels: 3, background: 'red' } })
      .jpeg()
      .toBuffer();
    const error = await refusal(vast);
    expect(error.code).toBe('TESSERA_INPUT_TOO_LARGE');
    expect(error.message).toContain('8000x7000');
  });

  it('refuses pictures of one pixel by millions, which take a gigabyte or half a minute to scale', async () => {
    for (const [width, height] of [
      [40_000, 1],
      [1, 40_000],
    ] as const) {
      const strip = await sharp({ create: { width, height, channels: 3, background: '#777' } })
        .png()
        .toBuffer();
      expect(await refusal(strip)).toMatchObject({ code: 'TESSERA_INPUT_TOO_LARGE', hint: expect.any(String) });
    }
  });

  it('decodes large pictures one after another, with small ones and failures in between', async () => {
    const large = await sharp({ create: { width: 6500, height: 6000, channels: 3, background: '#123456' } })
      .jpeg({ progressive: true, quality: 10 })
      .toBuffer();
    const small = await raw(quarters(64, 48), 64, 48).png().toBuffer();
    const frames = [large, large, small, large.subarray(0, large.length - 500), large, small];
    const results = await Promise.allSettled(frames.map((frame) => decodeFrame(frame, stretch(8, 8))));
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
  });

  it('refuses animations', async () => {
    const still = await raw(quarters(8, 8), 8, 8).png().toBuffer();
    const control = Buffer.from('000000086163544c0000000200000000f38d9370', 'hex');
    expect((await refusal(Buffer.concat([still.subarray(0, 33), control, still.subarray(33)]))).message).toContain(
      'animated',
    );
  });

  it('answers damaged bytes with a picture or an error with a code, nothing else', async () => {
    const jpeg = await raw(quarters(64, 64), 64, 64).jpeg().toBuffer();
    const png = await raw(quarters(64, 64), 64, 64).png().toBuffer();
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(jpeg, png), damage, async (original, changes) => {
        const bytes = Uint8Array.from(original);
        for (const [at, value] of changes) bytes[3 + (at % (bytes.length - 3))] = value;
        try {
          expect((await decodeFrame(bytes, stretch(8, 8))).data).toHaveLength(192);
        } catch (error) {
          expect((error as TesseraError).code).toMatch(/^TESSERA_INPUT_(INVALID|TOO_LARGE)$/);
        }
      }),
      { numRuns: 150 },
    );
  });
});

describe('encodeJpeg', () => {
  it('makes a picture that is decoded to the same pixels', async () => {
    const bytes = await encodeJpeg(quarters(64, 64), 64, 64, 90);
    const { data } = await decodeFrame(bytes, stretch(32, 32));
    seesQuarters(data, 32, 32);
  });
});
