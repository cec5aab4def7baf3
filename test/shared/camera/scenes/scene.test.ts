import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { sceneClasses } from '../../../../shared/camera/scenes/objects.ts';
import { classIndexOf, drawScene, type Scene, seedRanges } from '../../../../shared/camera/scenes/scene.ts';

const small = { width: 160, height: 120 };

function hash(scene: Scene): string {
  return createHash('sha256').update(scene.rgb).digest('hex').slice(0, 16);
}

describe('drawScene', () => {
  it('draws the same bytes for a seed as for training, or the bundled model was trained on other pictures', () => {
    expect([0, 1, 2_000_000, 2 ** 40].map((seed) => hash(drawScene(seed, small)))).toMatchInlineSnapshot(`
      [
        "90473c765a1a15c4",
        "5c79192000fe2ec0",
        "ba3689e8a6990d26",
        "8fd2ac8b15c85c84",
      ]
    `);
  });

  it('draws at the camera size unless told otherwise', () => {
    const scene = drawScene(7);
    expect([scene.width, scene.height, scene.rgb.length]).toEqual([640, 480, 640 * 480 * 3]);
  });

  it('draws every class within twelve seeds from any multiple of twelve', () => {
    for (const from of [0, 12, 999_996, 3_000_000]) {
      const labels = Array.from({ length: 12 }, (_, i) => drawScene(from + i, { width: 32, height: 24 }).label);
      expect(labels.sort()).toEqual(sceneClasses.map(({ label }) => label).sort());
    }
  });

  it('keeps each class as frequent as the others, in an order that cannot be guessed', () => {
    const counts = new Array<number>(sceneClasses.length).fill(0);
    const orders = new Set<string>();
    for (let block = 0; block < 100; block++) {
      const order = sceneClasses.map((_, i) => classIndexOf(block * 12 + i));
      orders.add(order.join());
      for (const index of order) counts[index]!++;
    }
    expect(counts).toEqual(sceneClasses.map(() => 100));
    expect(orders.size).toBe(100);
  });

  it('keeps the object in the picture, and large enough to be seen', () => {
    for (let seed = 0; seed < 120; seed++) {
      const [x1, y1, x2, y2] = drawScene(seed, small).box;
      expect([x1, y1, x2, y2].every(Number.isInteger)).toBe(true);
      expect(Math.min(x1, y1)).toBeGreaterThanOrEqual(0);
      expect(x2).toBeLessThanOrEqual(small.width);
      expect(y2).toBeLessThanOrEqual(small.height);
      expect(Math.max(x2 - x1, y2 - y1)).toBeGreaterThan(0.4 * small.height);
    }
  });

  it('never draws two seeds alike', () => {
    const seeds = [...Array(150).keys(), 2 ** 32, 2 ** 32 + 1, 2 ** 40];
    expect(new Set(seeds.map((seed) => hash(drawScene(seed, { width: 64, height: 48 })))).size).toBe(seeds.length);
  });

  it('draws the same scene at any size', () => {
    const large = drawScene(41, { width: 640, height: 480 });
    const half = drawScene(41, { width: 320, height: 240 });
    expect(half.label).toBe(large.label);
    half.box.forEach((edge, i) => {
      expect(Math.abs(edge - large.box[i]! / 2)).toBeLessThanOrEqual(1);
    });
  });
});

describe('seedRanges', () => {
  it('do not overlap, so that no picture is in both training and test', () => {
    const ranges = Object.values(seedRanges);
    ranges.slice(1).forEach((range, i) => {
      expect(range.from).toBeGreaterThanOrEqual(ranges[i]!.to);
    });
    for (const { from, to } of ranges) expect(to).toBeGreaterThan(from);
  });
});
