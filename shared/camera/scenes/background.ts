import type { Random } from '../../random.ts';
import { anyColour, blend, type Colour, hsl } from './colour.ts';
import { type Canvas, fill } from './raster.ts';
import { ellipse, type Outline, type Point, rectangle, stroke, turned } from './shape.ts';

/** Colours every pixel by a share between two colours. */
function cover(canvas: Canvas, from: Colour, to: Colour, shareAt: (x: number, y: number) => number): void {
  const { width, height, rgb } = canvas;
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const share = shareAt(x, y);
      rgb[at++] = from[0] + (to[0] - from[0]) * share + 0.5;
      rgb[at++] = from[1] + (to[1] - from[1]) * share + 0.5;
      rgb[at++] = from[2] + (to[2] - from[2]) * share + 0.5;
    }
  }
}

/** A share that rises evenly from one side of the canvas to the other, in a random direction. */
function slope(random: Random, canvas: Canvas): (x: number, y: number) => number {
  const angle = 2 * Math.PI * random.next();
  const ax = Math.cos(angle) / canvas.width / Math.SQRT2;
  const ay = Math.sin(angle) / canvas.height / Math.SQRT2;
  const rest = 0.5 - (ax * canvas.width + ay * canvas.height) / 2;
  return (x, y) => ax * x + ay * y + rest;
}

/** Soft patches: random values on a coarse lattice, smoothly filled in between. */
function patches(random: Random, canvas: Canvas): (x: number, y: number) => number {
  const cells = random.whole(3, 18);
  const cell = Math.max(canvas.width, canvas.height) / cells;
  const values = Array.from({ length: (cells + 2) ** 2 }, () => random.next());
  return (x, y) => {
    const column = Math.floor(x / cell);
    const row = Math.floor(y / cell);
    let fx = x / cell - column;
    let fy = y / cell - row;
    fx = fx * fx * (3 - 2 * fx);
    fy = fy * fy * (3 - 2 * fy);
    const at = row * (cells + 2) + column;
    const upper = values[at]! + (values[at + 1]! - values[at]!) * fx;
    const lower = values[at + cells + 2]! + (values[at + cells + 3]! - values[at + cells + 2]!) * fx;
    return upper + (lower - upper) * fy;
  };
}

/** Stripes or a chequerboard, turned any way. */
function pattern(random: Random, canvas: Canvas): (x: number, y: number) => number {
  const angle = Math.PI * random.next();
  const period = canvas.height * random.between(0.05, 0.25);
  const ax = (2 * Math.PI * Math.cos(angle)) / period;
  const ay = (2 * Math.PI * Math.sin(angle)) / period;
  const chequered = random.chance(0.4);
  const soft = random.between(1, 4);
  const wave = (phase: number) => Math.max(-1, Math.min(1, soft * Math.sin(phase)));
  return (x, y) => {
    const along = wave(ax * x + ay * y);
    return 0.5 + 0.5 * (chequered ? along * wave(ax * y - ay * x) : along);
  };
}

/** A landscape: an even ground below a sky that brightens towards the horizon. */
function horizon(random: Random, canvas: Canvas): (x: number, y: number) => number {
  const line = canvas.height * random.between(0.45, 0.85);
  const tilt = random.between(-0.08, 0.08);
  return (x, y) => {
    const below = y - line - tilt * x;
    return below > 0 ? Math.min(1, 0.85 + below / canvas.height) : 0.35 * Math.max(0, 1 + below / line);
  };
}

/** One random outline of clutter, in pixels. */
function piece(random: Random, canvas: Canvas): Outline[] {
  const { width, height } = canvas;
  const size = height * random.between(0.03, 0.22);
  const centre: Point = [width * random.next(), height * random.next()];
  const [x, y] = centre;
  const turn = random.next();
  switch (random.whole(0, 3)) {
    case 0:
      return [turned(rectangle(x - size, y - size * 0.5, x + size, y + size * 0.5), turn, centre)];
    case 1:
      return [turned(ellipse(centre, size, size * random.between(0.4, 1)), turn, centre)];
    case 2: {
      const triangle: Outline = [
        [x, y - size],
        [x + size, y + size * 0.6],
        [x - size * 0.7, y + size],
      ];
      return [turned(triangle, turn, centre)];
    }
    default: {
      const reach = random.between(1, 5) * size;
      const end: Point = [x + reach * Math.cos(2 * Math.PI * turn), y + reach * Math.sin(2 * Math.PI * turn)];
      return stroke([centre, end], height * random.between(0.004, 0.02));
    }
  }
}

/** Paints the whole canvas: plain, gradient, patches, pattern or landscape, with or without clutter. Returns its middle colour. */
export function drawBackground(canvas: Canvas, random: Random): Colour {
  const base = hsl(random.next(), random.between(0, 0.7), random.between(0.12, 0.92));
  const other = blend(base, anyColour(random), random.between(0.15, 0.7));
  const middle = blend(base, other, 0.5);
  const kind = random.pick([() => () => 0.5, slope, slope, patches, patches, pattern, horizon]);
  cover(canvas, base, other, kind(random, canvas));
  if (random.chance(0.6)) {
    const pieces = random.whole(3, 16);
    for (let count = 0; count < pieces; count++) {
      const colour = blend(middle, anyColour(random), random.between(0.1, 0.6));
      fill(canvas, piece(random, canvas), { colour, opacity: random.between(0.4, 1) });
    }
  }
  return middle;
}
