import type { Random } from '../../../random.ts';
import { blend, hsl } from '../colour.ts';
import type { Palette } from '../palette.ts';
import { arc, ellipse, type Outline, type Point, rectangle, type Shape, stroke } from '../shape.ts';

/** A house from the front: wall, gabled roof, chimney, door and windows. */
export function house(random: Random, palette: Palette): Shape[] {
  const half = random.between(0.6, 0.72);
  const eaves = random.between(-0.2, -0.05);
  const doorX = random.pick([-0.3, 0, 0.3]);
  const chimneyX = random.pick([-0.42, 0.28]);
  const roof: Outline = [
    [-half - 0.2, eaves],
    [0, random.between(-0.92, -0.75)],
    [half + 0.2, eaves],
  ];
  const windows = [-0.36, 0, 0.36]
    .filter((x) => Math.abs(x - doorX) > 0.2)
    .map((x) => rectangle(x - 0.13, eaves + 0.18, x + 0.13, eaves + 0.48));
  const bars = windows.flatMap((window) => {
    const [x1, y1] = window[0]!;
    const [x2, y2] = window[2]!;
    const middle: Point = [(x1 + x2) / 2, (y1 + y2) / 2];
    return [
      rectangle(middle[0] - 0.015, y1, middle[0] + 0.015, y2),
      rectangle(x1, middle[1] - 0.015, x2, middle[1] + 0.015),
    ];
  });
  const door = random.chance(0.5) ? palette.dark : hsl(random.next(), 0.5, 0.3);
  return [
    { outlines: [rectangle(chimneyX, -0.85, chimneyX + 0.16, -0.3)], colour: blend(palette.second, palette.dark, 0.4) },
    { outlines: [rectangle(-half, eaves - 0.02, half, 0.8)], colour: palette.main },
    { outlines: [roof], colour: palette.second },
    { outlines: windows, colour: random.chance(0.5) ? palette.light : hsl(0.56, 0.6, 0.75) },
    { outlines: [...bars, rectangle(doorX - 0.14, 0.3, doorX + 0.14, 0.8)], colour: door },
    { outlines: [ellipse([doorX + 0.08, 0.56], 0.03, 0.03)], colour: palette.light },
  ];
}

/** A cup with a handle, sometimes on a saucer, sometimes steaming. */
export function cup(random: Random, palette: Palette): Shape[] {
  const top = random.between(0.5, 0.6);
  const bottom = top * random.between(0.6, 0.92);
  const rim = random.between(0.1, 0.15);
  const body: Outline = [
    [-top, -0.4],
    [top, -0.4],
    ...arc([bottom - 0.12, 0.58], 0.12, 0.12, 0, 0.25),
    ...arc([-bottom + 0.12, 0.58], 0.12, 0.12, 0.25, 0.5),
  ];
  const handle = stroke(arc([top - 0.04, 0.06], 0.32, 0.28, -0.25, 0.25), random.between(0.1, 0.14));
  const drink = random.chance(0.7) ? hsl(random.between(0.05, 0.1), 0.6, random.between(0.15, 0.35)) : palette.dark;
  const steam = random.chance(0.35)
    ? [-0.2, 0.15].flatMap((x) =>
        stroke(
          [
            [x, -0.6],
            [x + 0.07, -0.7],
            [x, -0.82],
            [x + 0.07, -0.93],
          ],
          0.05,
        ),
      )
    : [];
  const band = random.chance(0.4) ? [rectangle(-bottom * 0.97, 0.05, bottom * 0.97, 0.25)] : [];
  const saucer = random.chance(0.4) ? [ellipse([0, 0.72], 0.85, 0.13)] : [];
  return [
    { outlines: saucer, colour: blend(palette.main, palette.light, 0.4) },
    { outlines: steam, colour: palette.line },
    { outlines: handle, colour: palette.main },
    { outlines: [body], colour: palette.main },
    { outlines: band, colour: palette.second },
    { outlines: [ellipse([0, -0.4], top, rim)], colour: blend(palette.main, palette.light, 0.6) },
    { outlines: [ellipse([0, -0.39], top * 0.88, rim * 0.75)], colour: drink },
  ];
}

/** An open umbrella: a scalloped canopy in panels, a shaft and a crook. */
export function umbrella(random: Random, palette: Palette): Shape[] {
  const height = random.between(0.72, 0.9);
  const panels = random.pick([4, 5, 6]);
  const rim = random.between(-0.1, 0);
  const panel = (index: number): Outline => {
    const x1 = -0.95 + (1.9 * index) / panels;
    const x2 = x1 + 1.9 / panels;
    const rib = (x: number): Point[] => {
      const points: Point[] = [];
      for (let step = 0; step <= 8; step++) {
        const angle = (Math.PI / 2) * (step / 8);
        points.push([x * Math.sin(angle), rim - height * Math.cos(angle)]);
      }
      return points;
    };
    const scallop = arc([(x1 + x2) / 2, rim], (x2 - x1) / 2, 0.12, 1, 0.5).slice(1, -1);
    return [...rib(x2), ...scallop, ...rib(x1).reverse()];
  };
  const all = Array.from({ length: panels }, (_, index) => panel(index));
  const shaft: Point[] = [[0, rim - height - 0.08], [0, 0.72], ...arc([-0.15, 0.72], 0.15, 0.17, 0, 0.5)];
  const twoColours = random.chance(0.65);
  return [
    { outlines: stroke(shaft, random.between(0.055, 0.085)), colour: palette.line },
    { outlines: all.filter((_, index) => index % 2 === 0), colour: palette.main },
    {
      outlines: all.filter((_, index) => index % 2 === 1),
      colour: twoColours ? palette.second : blend(palette.main, palette.dark, 0.25),
    },
  ];
}

/** A clock: rim, face, twelve marks and two hands; sometimes with the bells and feet of an alarm clock. */
export function clock(random: Random, palette: Palette): Shape[] {
  const radius = 0.8;
  const face = radius - random.between(0.08, 0.16);
  const onFace = (turns: number, distance: number): Point => [
    distance * Math.sin(2 * Math.PI * turns),
    -distance * Math.cos(2 * Math.PI * turns),
  ];
  const marks: Outline[] = [];
  for (let hour = 0; hour < 12; hour++) {
    const long = hour % 3 === 0 ? 0.16 : 0.09;
    marks.push(
      ...stroke([onFace(hour / 12, face - 0.06 - long), onFace(hour / 12, face - 0.06)], hour % 3 === 0 ? 0.06 : 0.035),
    );
  }
  const time = random.next();
  const hands = [
    ...stroke([[0, 0], onFace(time, face * 0.5)], 0.09),
    ...stroke([[0, 0], onFace((time * 12) % 1, face * 0.78)], 0.055),
  ];
  const alarm: Outline[] = random.chance(0.4)
    ? [
        ellipse([-0.5, -0.76], 0.26, 0.2),
        ellipse([0.5, -0.76], 0.26, 0.2),
        ...stroke(
          [
            [-0.5, 0.6],
            [-0.66, 0.92],
          ],
          0.1,
        ),
        ...stroke(
          [
            [0.5, 0.6],
            [0.66, 0.92],
          ],
          0.1,
        ),
      ]
    : [];
  return [
    { outlines: alarm, colour: palette.second },
    { outlines: [ellipse([0, 0], radius, radius)], colour: palette.main },
    { outlines: [ellipse([0, 0], face, face)], colour: palette.light },
    { outlines: marks, colour: palette.dark },
    { outlines: hands, colour: random.chance(0.7) ? palette.dark : blend(palette.main, palette.dark, 0.5) },
    { outlines: [ellipse([0, 0], 0.07, 0.07)], colour: palette.dark },
  ];
}
