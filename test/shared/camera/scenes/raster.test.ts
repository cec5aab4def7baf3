import { describe, expect, it } from 'vitest';
import { type Canvas, createCanvas, fill } from '../../../../shared/camera/scenes/raster.ts';
import { ellipse, oriented, rectangle, stroke } from '../../../../shared/camera/scenes/shape.ts';

const white = { colour: [255, 255, 255] } as const;

/** The covered area in pixels, from the red channel of a white shape on black. */
function area(canvas: Canvas): number {
  let sum = 0;
  for (let at = 0; at < canvas.rgb.length; at += 3) sum += canvas.rgb[at]!;
  return sum / 255;
}

describe('fill', () => {
  it('covers whole pixels wholly and leaves the rest alone', () => {
    const canvas = createCanvas(4, 3);
    fill(canvas, [rectangle(1, 1, 3, 2)], white);
    expect(Array.from({ length: 12 }, (_, i) => canvas.rgb[3 * i])).toEqual([0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0]);
  });

  it('covers a pixel by the share of it that lies inside, or edges would be jagged', () => {
    const canvas = createCanvas(4, 1);
    fill(canvas, [rectangle(0.5, 0, 2.25, 0.5)], white);
    expect([0, 1, 2, 3].map((x) => canvas.rgb[3 * x])).toEqual([64, 128, 32, 0]);
  });

  it('gives an ellipse its area', () => {
    const canvas = createCanvas(100, 80);
    fill(canvas, [ellipse([50, 40], 30, 20)], white);
    expect(area(canvas) / (Math.PI * 30 * 20)).toBeCloseTo(1, 2);
  });

  it('covers overlapping outlines once', () => {
    const canvas = createCanvas(10, 10);
    fill(
      canvas,
      [rectangle(1, 1, 6, 6), rectangle(3, 3, 8, 8), [...rectangle(2, 2, 5, 5)].reverse()].map(oriented),
      white,
    );
    expect(area(canvas)).toBeCloseTo(25 + 25 - 9, 5);
  });

  it('cuts off what lies outside the canvas, on every side', () => {
    const canvas = createCanvas(8, 8);
    fill(canvas, [ellipse([4, 4], 40, 40)], white);
    expect(area(canvas)).toBe(64);
    const empty = createCanvas(8, 8);
    fill(empty, [rectangle(-9, -9, -1, 20), rectangle(9, 0, 20, 8), rectangle(0, 8, 8, 20)], white);
    expect(area(empty)).toBe(0);
  });

  it('mixes by opacity and lights by slope without leaving the range of a byte', () => {
    const canvas = createCanvas(3, 1);
    fill(canvas, [rectangle(0, 0, 3, 1)], { colour: [200, 200, 200], slope: [1, 0], centre: [1, 0], opacity: 0.5 });
    expect([0, 1, 2].map((x) => canvas.rgb[3 * x])).toEqual([0, 100, 200]);
  });
});

describe('stroke', () => {
  it('draws a line of its width with round ends', () => {
    const canvas = createCanvas(40, 20);
    const line = stroke(
      [
        [10, 10],
        [30, 10],
      ],
      6,
    );
    fill(canvas, line, white);
    expect(area(canvas)).toBeGreaterThan(20 * 6 + 0.85 * Math.PI * 9);
    expect(area(canvas)).toBeLessThanOrEqual(20 * 6 + Math.PI * 9);
  });
});
