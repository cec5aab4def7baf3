import type { Colour } from './colour.ts';

/** A point: x to the right, y downwards. */
export type Point = readonly [x: number, y: number];

/** A closed outline that does not cross itself. Outlines of one shape may overlap: together they cover their union. */
export type Outline = readonly Point[];

/** A coloured area: the union of its outlines. */
export interface Shape {
  readonly outlines: readonly Outline[];
  readonly colour: Colour;
}

/** The smallest upright rectangle round something: [x1, y1, x2, y2]. */
export type Box = readonly [x1: number, y1: number, x2: number, y2: number];

/** Twice the signed area of an outline (the shoelace formula). */
function signedArea(outline: Outline): number {
  let sum = 0;
  let last = outline[outline.length - 1]!;
  for (const point of outline) {
    sum += last[0] * point[1] - point[0] * last[1];
    last = point;
  }
  return sum;
}

/** Turns an outline so that all run the same way round: only then do overlapping ones add up to their union. */
export function oriented(outline: Outline): Outline {
  return signedArea(outline) < 0 ? [...outline].reverse() : outline;
}

/** An ellipse, or with `from` and `to` (turns, clockwise from three o'clock) the segment of one cut off by its chord. */
export function ellipse(centre: Point, radiusX: number, radiusY: number, from = 0, to = 1): Outline {
  return arc(centre, radiusX, radiusY, from, to, 40);
}

/** The points of an elliptic arc from one angle to another (turns, clockwise from three o'clock). */
export function arc(
  centre: Point,
  radiusX: number,
  radiusY: number,
  from: number,
  to: number,
  stepsPerTurn = 32,
): Point[] {
  const steps = Math.max(3, Math.ceil(Math.abs(to - from) * stepsPerTurn));
  const whole = Math.abs(to - from) === 1;
  const points: Point[] = [];
  for (let step = 0; step < steps + (whole ? 0 : 1); step++) {
    const angle = 2 * Math.PI * (from + ((to - from) * step) / steps);
    points.push([centre[0] + radiusX * Math.cos(angle), centre[1] + radiusY * Math.sin(angle)]);
  }
  return points;
}

/** An upright rectangle. */
export function rectangle(x1: number, y1: number, x2: number, y2: number): Outline {
  return [
    [x1, y1],
    [x2, y1],
    [x2, y2],
    [x1, y2],
  ];
}

/** A rectangle with round corners. */
export function roundedRectangle(x1: number, y1: number, x2: number, y2: number, radius: number): Outline {
  const r = Math.min(radius, (x2 - x1) / 2, (y2 - y1) / 2);
  return [
    ...arc([x2 - r, y1 + r], r, r, -0.25, 0),
    ...arc([x2 - r, y2 - r], r, r, 0, 0.25),
    ...arc([x1 + r, y2 - r], r, r, 0.25, 0.5),
    ...arc([x1 + r, y1 + r], r, r, 0.5, 0.75),
  ];
}

/** A line of the given width through the points, with round ends and joints. */
export function stroke(points: readonly Point[], width: number, closed = false): Outline[] {
  const half = width / 2;
  const outlines: Outline[] = [];
  const segments = closed ? points.length : points.length - 1;
  for (let i = 0; i < segments; i++) {
    const [ax, ay] = points[i]!;
    const [bx, by] = points[(i + 1) % points.length]!;
    const length = Math.hypot(bx - ax, by - ay);
    if (length === 0) continue;
    const nx = (-(by - ay) / length) * half;
    const ny = ((bx - ax) / length) * half;
    outlines.push(
      oriented([
        [ax + nx, ay + ny],
        [bx + nx, by + ny],
        [bx - nx, by - ny],
        [ax - nx, ay - ny],
      ]),
    );
  }
  for (const point of points) outlines.push(arc(point, half, half, 0, 1, 10));
  return outlines;
}

/** A ring: the line of the given width along a circle. */
export function ring(centre: Point, radius: number, width: number): Outline[] {
  return stroke(arc(centre, radius, radius, 0, 1), width, true);
}

/** Turns an outline about a point by an angle in turns, clockwise. */
export function turned(outline: Outline, turns: number, about: Point = [0, 0]): Outline {
  const cos = Math.cos(2 * Math.PI * turns);
  const sin = Math.sin(2 * Math.PI * turns);
  return outline.map(([x, y]) => {
    const dx = x - about[0];
    const dy = y - about[1];
    return [about[0] + dx * cos - dy * sin, about[1] + dx * sin + dy * cos] as const;
  });
}

/** The box round all outlines of some shapes. */
export function boundsOf(shapes: readonly Shape[]): Box {
  let [x1, y1, x2, y2] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const shape of shapes) {
    for (const outline of shape.outlines) {
      for (const [x, y] of outline) {
        if (x < x1) x1 = x;
        if (y < y1) y1 = y;
        if (x > x2) x2 = x;
        if (y > y2) y2 = y;
      }
    }
  }
  return [x1, y1, x2, y2];
}
