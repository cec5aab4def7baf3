import { createRandom, type Random } from '../../random.ts';
import { drawBackground } from './background.ts';
import { blend, type Colour } from './colour.ts';
import { blur, type Exposure, expose } from './exposure.ts';
import { sceneClasses } from './objects.ts';
import { drawPalette, type Palette } from './palette.ts';
import { type Canvas, createCanvas, fill } from './raster.ts';
import { type Box, boundsOf, oriented, type Point, type Shape, stroke } from './shape.ts';

/** A drawn picture of one object. */
export interface Scene {
  readonly label: string;
  /** Place of the label in `sceneClasses`, and in the bundled model's outputs. */
  readonly classIndex: number;
  readonly width: number;
  readonly height: number;
  /** The picture, [height, width, 3]. */
  readonly rgb: Uint8Array;
  /** The object's place in whole pixels, inside the picture. */
  readonly box: Box;
}

/** How large a scene is drawn; what is on it does not depend on this. */
export interface SceneOptions {
  readonly width?: number;
  readonly height?: number;
}

/** The camera's picture size, for which the bundled model is trained. */
const cameraSize = { width: 640, height: 480 } as const;

/** The seeds [from, to) of each use: no scene that was trained on is ever shown or tested on. */
export const seedRanges = {
  training: { from: 0, to: 1_000_000 },
  validation: { from: 1_000_000, to: 2_000_000 },
  heldOut: { from: 2_000_000, to: 3_000_000 },
  camera: { from: 3_000_000, to: 2 ** 32 },
} as const;

/** Streams of one seed's randomness. */
const streams = { order: 1, background: 2, object: 3, place: 4, camera: 5 } as const;

/** The class of a seed's scene: every 12 seeds from a multiple of 12 on hold each class once, in a shuffled order. */
export function classIndexOf(seed: number): number {
  const count = sceneClasses.length;
  const random = createRandom(Math.floor(seed / count), streams.order);
  const order = sceneClasses.map((_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = random.whole(0, last);
    [order[last], order[other]] = [order[other]!, order[last]!];
  }
  return order[seed % count]!;
}

/** Turns, stretches and places an object drawn in a square from -1 to 1 so that it lies inside the canvas. */
function place(shapes: readonly Shape[], canvas: Canvas, random: Random, maxTurn: number): Shape[] {
  const angle = 2 * Math.PI * random.between(-maxTurn, maxTurn);
  const mirrored = random.chance(0.5) ? -1 : 1;
  const aspect = random.between(0.88, 1.14);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const map = (shape: Shape, point: (x: number, y: number) => Point): Shape => ({
    colour: shape.colour,
    outlines: shape.outlines.map((outline) => outline.map(([x, y]) => point(x, y))),
  });
  const upright = shapes.map((shape) =>
    map(shape, (x, y) => {
      const u = x * mirrored * aspect;
      const v = y / aspect;
      return [u * cos - v * sin, u * sin + v * cos];
    }),
  );
  const [x1, y1, x2, y2] = boundsOf(upright);
  const extent = Math.max(x2 - x1, y2 - y1);
  const size = (Math.min(canvas.width, canvas.height) * random.between(0.42, 0.92)) / extent;
  const left = (canvas.width - (x2 - x1) * size) * random.between(0.02, 0.98);
  const top = (canvas.height - (y2 - y1) * size) * random.between(0.02, 0.98);
  return upright.map((shape) => map(shape, (x, y) => [left + (x - x1) * size, top + (y - y1) * size]));
}

/** Draws the placed object: sometimes a shadow, sometimes an outline, then its shapes, lit from one side. */
function paintObject(canvas: Canvas, shapes: readonly Shape[], box: Box, random: Random, palette: Palette): void {
  const [x1, y1, x2, y2] = box;
  const size = Math.max(x2 - x1, y2 - y1);
  const silhouette = shapes.flatMap((shape) => shape.outlines).map(oriented);
  if (random.chance(0.35)) {
    const dx = size * random.between(-0.06, 0.06);
    const dy = size * random.between(0.01, 0.06);
    const shadow = silhouette.map((outline) => outline.map(([x, y]) => [x + dx, y + dy] as const));
    fill(canvas, shadow, { colour: [0, 0, 0], opacity: random.between(0.15, 0.4) });
  }
  if (random.chance(0.5)) {
    const width = size * random.between(0.01, 0.03);
    const edge: Colour = blend(palette.line, palette.main, random.between(0, 0.3));
    fill(canvas, [...silhouette, ...silhouette.flatMap((outline) => stroke(outline, width, true))], { colour: edge });
  }
  const angle = 2 * Math.PI * random.next();
  const strength = random.between(0, 0.7) / size;
  const slope: Point = [strength * Math.cos(angle), strength * Math.sin(angle)];
  const centre: Point = [(x1 + x2) / 2, (y1 + y2) / 2];
  for (const shape of shapes) fill(canvas, shape.outlines.map(oriented), { colour: shape.colour, slope, centre });
}

/** Draws the light: brightness, tint, a fall-off across the picture, and noise that grows as the light fades. */
function drawExposure(random: Random): Exposure {
  const brightness = random.between(0.5, 1.25);
  const tint = () => brightness * random.between(0.85, 1.15);
  return {
    gain: [tint(), tint(), tint()],
    slope: [random.between(-0.6, 0.6), random.between(-0.5, 0.5)],
    noise: random.between(0, 14),
  };
}

/**
 * Draws the scene of a seed (a whole number from 0 on): one object of one of `sceneClasses`, with its own shape, colours,
 * position, size, rotation, background, light, blur and noise. The same seed and size give the same bytes every time.
 */
export function drawScene(seed: number, options: SceneOptions = {}): Scene {
  const { width, height } = { ...cameraSize, ...options };
  const canvas = createCanvas(width, height);
  const classIndex = classIndexOf(seed);
  const { label, draw, maxTurn } = sceneClasses[classIndex]!;

  const background = drawBackground(canvas, createRandom(seed, streams.background));
  const objectRandom = createRandom(seed, streams.object);
  const palette = drawPalette(objectRandom, background);
  const placeRandom = createRandom(seed, streams.place);
  const shapes = place(draw(objectRandom, palette), canvas, placeRandom, maxTurn);
  const exact = boundsOf(shapes);
  paintObject(canvas, shapes, exact, placeRandom, palette);

  const cameraRandom = createRandom(seed, streams.camera);
  if (cameraRandom.chance(0.5)) blur(canvas, cameraRandom.between(0.001, 0.007) * height);
  expose(canvas, drawExposure(cameraRandom), cameraRandom);

  const box: Box = [
    Math.max(0, Math.floor(exact[0])),
    Math.max(0, Math.floor(exact[1])),
    Math.min(width, Math.ceil(exact[2])),
    Math.min(height, Math.ceil(exact[3])),
  ];
  return { label, classIndex, width, height, rgb: canvas.rgb, box };
}
