import { describe, expect, it } from 'vitest';
import { CROP_SIDE, drawSnapshot, SNAPSHOT_SIDE } from '../../../central/pictures/snapshot.ts';
import { decodeFrame, encodeJpeg, pictureSize } from '../../../shared/runtime/image.ts';

/** A grey picture with a red square at [400, 200, 600, 400]. */
async function picture(width = 1600, height = 900): Promise<Uint8Array> {
  const rgb = new Uint8Array(width * height * 3).fill(128);
  for (let y = 200; y < Math.min(400, height); y++)
    for (let x = 400; x < Math.min(600, width); x++) rgb.set([220, 20, 20], (y * width + x) * 3);
  return encodeJpeg(rgb, width, height, 95);
}

const box: [number, number, number, number] = [400, 200, 600, 400];
const found = { label: 'square', score: 0.9, box };

/** The mean colour of a picture's middle, R, G, B. */
async function middle(jpeg: Uint8Array): Promise<number[]> {
  const { data } = await decodeFrame(jpeg, { width: 8, height: 8, color: 'rgb', resize: 'stretch', crop: 1 });
  const at = (4 * 8 + 4) * 3;
  return [...data.subarray(at, at + 3)];
}

describe('drawSnapshot', () => {
  it('makes a picture of the frame that is not too large, and a square one around each box', async () => {
    const frame = { format: 'jpeg', d: await picture() } as const;
    const { whole, crops } = await drawSnapshot({ frame, predictions: [found], isWhole: true, crops: [found] });
    expect(await pictureSize(whole!)).toEqual({ width: SNAPSHOT_SIDE, height: 720 });
    expect(await pictureSize(crops[0]!)).toEqual({ width: CROP_SIDE, height: CROP_SIDE });
    const [red, green] = await middle(crops[0]!);
    expect(red! - green!).toBeGreaterThan(100);
  });

  it('keeps a crop within the frame, at a border and where the box is larger', async () => {
    const frame = { format: 'jpeg', d: await picture(640, 480) } as const;
    const boxes = [
      [-5, -5, 60, 60],
      [600, 440, 640, 480],
      [0, 0, 640, 480],
    ] as [number, number, number, number][];
    const asked = boxes.map((one) => ({ label: 'x', score: 1, box: one }));
    const { whole, crops } = await drawSnapshot({ frame, predictions: [], isWhole: false, crops: asked });
    expect(whole).toBeUndefined();
    const sizes = await Promise.all(crops.map((crop) => pictureSize(crop!)));
    expect(sizes).toEqual([
      { width: CROP_SIDE, height: CROP_SIDE },
      { width: CROP_SIDE, height: CROP_SIDE },
      { width: CROP_SIDE, height: 240 },
    ]);
  });

  it('draws raw pixels in their order of channels', async () => {
    const d = new Uint8Array(64 * 64 * 3);
    for (let i = 0; i < d.length; i += 3) d[i] = 255;
    for (const [format, channel] of [
      ['rgb', 0],
      ['bgr', 2],
    ] as const) {
      const { whole } = await drawSnapshot({
        frame: { format, shape: [64, 64, 3], d },
        predictions: [],
        isWhole: true,
        crops: [],
      });
      expect((await middle(whole!))[channel]).toBeGreaterThan(200);
    }
  });

  it('has no crop of what has no box, and refuses what is no picture', async () => {
    const frame = { format: 'jpeg', d: await picture(64, 64) } as const;
    expect(
      (await drawSnapshot({ frame, predictions: [], isWhole: false, crops: [{ label: 'cat', score: 1 }] })).crops,
    ).toEqual([undefined]);
    const broken = { format: 'jpeg', d: frame.d.subarray(0, 200) } as const;
    await expect(drawSnapshot({ frame: broken, predictions: [], isWhole: true, crops: [] })).rejects.toMatchObject({
      code: 'TESSERA_INPUT_INVALID',
    });
  });
});
