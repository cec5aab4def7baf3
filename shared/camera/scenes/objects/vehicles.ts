import type { Random } from '../../../random.ts';
import { blend, hsl } from '../colour.ts';
import type { Palette } from '../palette.ts';
import {
  arc,
  ellipse,
  type Outline,
  type Point,
  rectangle,
  ring,
  roundedRectangle,
  type Shape,
  stroke,
} from '../shape.ts';

/** A car from the side: body, cabin with two windows, two wheels. */
export function car(random: Random, palette: Palette): Shape[] {
  const wheel = random.between(0.19, 0.25);
  const roof = random.between(-0.52, -0.38);
  const back = random.between(-0.95, -0.6);
  const front = random.between(0.5, 0.7);
  const pillar = random.between(-0.12, 0.05);
  const glass = blend(palette.light, hsl(0.56, 0.6, 0.6), random.between(0.1, 0.7));
  const cabin: Outline = [
    [back, 0],
    [back + 0.2, roof],
    [front - 0.35, roof],
    [front, 0],
  ];
  const rear: Outline = [
    [back + 0.13, -0.01],
    [back + 0.26, roof + 0.09],
    [pillar - 0.04, roof + 0.09],
    [pillar - 0.04, -0.01],
  ];
  const fore: Outline = [
    [pillar + 0.04, -0.01],
    [pillar + 0.04, roof + 0.09],
    [front - 0.38, roof + 0.09],
    [front - 0.11, -0.01],
  ];
  const wheels: readonly Point[] = [
    [-0.55, 0.38],
    [0.56, 0.38],
  ];
  return [
    { outlines: [cabin, roundedRectangle(-1, -0.06, 1, 0.38, 0.13)], colour: palette.main },
    { outlines: [rear, fore], colour: glass },
    { outlines: [ellipse([0.93, 0.1], 0.06, 0.07)], colour: hsl(0.14, 0.9, 0.7) },
    { outlines: wheels.map((centre) => ellipse(centre, wheel, wheel)), colour: palette.dark },
    { outlines: wheels.map((centre) => ellipse(centre, wheel * 0.5, wheel * 0.5)), colour: palette.light },
  ];
}

/** A bicycle from the side: two spoked wheels, frame, saddle, handlebar. */
export function bicycle(random: Random, palette: Palette): Shape[] {
  const radius = random.between(0.36, 0.42);
  const tyre = random.between(0.055, 0.085);
  const rear: Point = [-0.58, 0.3];
  const front: Point = [0.58, 0.3];
  const pedals: Point = [-0.06, 0.32];
  const seat: Point = [-0.24, -0.22];
  const head: Point = [0.38, random.between(-0.32, -0.2)];
  const bar: Point = [head[0] - 0.05, head[1] - 0.16];
  const tube = random.between(0.055, 0.08);
  const spokes: Outline[] = [];
  for (const [x, y] of [rear, front]) {
    for (let spoke = 0; spoke < 4; spoke++) {
      const dx = radius * Math.cos((Math.PI * spoke) / 4);
      const dy = radius * Math.sin((Math.PI * spoke) / 4);
      spokes.push(
        ...stroke(
          [
            [x - dx, y - dy],
            [x + dx, y + dy],
          ],
          0.018,
        ),
      );
    }
  }
  const frame = [
    ...stroke([rear, pedals, head, seat, rear], tube),
    ...stroke([pedals, seat, [seat[0] - 0.04, seat[1] - 0.12]], tube),
    ...stroke([front, head, bar], tube),
  ];
  const handle: Point[] = [bar, [bar[0] + 0.16, bar[1] - 0.03], [bar[0] + 0.2, bar[1] + 0.06]];
  return [
    { outlines: spokes, colour: palette.line },
    { outlines: [...ring(rear, radius, tyre), ...ring(front, radius, tyre)], colour: palette.line },
    { outlines: frame, colour: palette.main },
    {
      outlines: [
        ...stroke(handle, tube * 0.9),
        ...stroke(
          [
            [seat[0] - 0.17, seat[1] - 0.13],
            [seat[0] + 0.08, seat[1] - 0.13],
          ],
          0.09,
        ),
        ellipse(pedals, 0.1, 0.1),
      ],
      colour: palette.line,
    },
  ];
}

/** A sailing boat: hull, mast, main sail, jib and a flag. */
export function sailingBoat(random: Random, palette: Palette): Shape[] {
  const top = random.between(-0.95, -0.8);
  const boom = random.between(0.22, 0.3);
  const hull: Outline = [
    [-0.8, 0.42],
    [0.85, 0.42],
    [0.55, 0.82],
    [-0.55, 0.82],
  ];
  const mainSail: Outline = [
    [0.07, top + 0.06],
    [random.between(0.6, 0.75), boom],
    [0.07, boom],
  ];
  const jib: Outline = [
    [-0.07, top + random.between(0.1, 0.3)],
    [-0.07, boom],
    [random.between(-0.72, -0.55), boom],
  ];
  const mast = stroke(
    [
      [0, 0.45],
      [0, top],
    ],
    0.06,
  );
  const flag: Outline = [
    [0.02, top - 0.03],
    [-0.2, top + 0.04],
    [0.02, top + 0.11],
  ];
  const sail = random.chance(0.6) ? palette.light : palette.second;
  return [
    { outlines: mast, colour: palette.line },
    { outlines: [mainSail], colour: sail },
    { outlines: [jib], colour: blend(sail, palette.main, random.between(0, 0.5)) },
    { outlines: [flag, hull], colour: palette.main },
    { outlines: [rectangle(-0.75, 0.47, 0.79, 0.54)], colour: palette.light },
  ];
}

/** An airplane from above: fuselage, swept wings, tail and engines. */
export function airplane(random: Random, palette: Palette): Shape[] {
  const sweep = random.between(0.2, 0.42);
  const chord = random.between(0.26, 0.36);
  const body = random.between(0.11, 0.15);
  const tail = random.between(0.3, 0.4);
  const bothSides = (outline: Outline): Outline[] => [outline, outline.map(([x, y]) => [-x, y] as const).reverse()];
  const wing: Outline = [
    [0, -0.3],
    [0.98, -0.3 + sweep + 0.12],
    [0.98, -0.3 + sweep + 0.25],
    [0, -0.3 + chord + 0.12],
  ];
  const tailWing: Outline = [
    [0, 0.62],
    [tail, 0.82],
    [tail, 0.93],
    [0, 0.86],
  ];
  const engine = roundedRectangle(0.38, -0.26 + sweep * 0.35, 0.52, 0.06 + sweep * 0.35, 0.06);
  return [
    { outlines: bothSides(engine), colour: palette.second },
    { outlines: [...bothSides(wing), ...bothSides(tailWing)], colour: palette.main },
    {
      outlines: [ellipse([0, -0.55], body, 0.42), rectangle(-body, -0.55, body, 0.4), ellipse([0, 0.4], body, 0.55)],
      colour: random.chance(0.5) ? palette.light : blend(palette.main, palette.light, 0.5),
    },
    { outlines: [arcWindow(body)], colour: palette.dark },
    {
      outlines: stroke(
        [
          [0, 0.62],
          [0, 0.93],
        ],
        0.05,
      ),
      colour: palette.second,
    },
  ];
}

function arcWindow(body: number): Outline {
  return [...arc([0, -0.72], body * 0.75, 0.12, 0.5, 1), [body * 0.5, -0.68], [-body * 0.5, -0.68]];
}
