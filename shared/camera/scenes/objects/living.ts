import type { Random } from '../../../random.ts';
import { blend, hsl } from '../colour.ts';
import type { Palette } from '../palette.ts';
import { arc, ellipse, type Outline, type Point, rectangle, type Shape, stroke, turned } from '../shape.ts';

/** A tree: a trunk under a round crown, or a fir of three tiers. */
export function tree(random: Random, palette: Palette): Shape[] {
  const trunkHalf = random.between(0.09, 0.15);
  const leaves = blend(
    hsl(random.between(0.22, 0.4), random.between(0.4, 0.8), random.between(0.25, 0.5)),
    palette.main,
    0.2,
  );
  const trunk: Shape = {
    outlines: [rectangle(-trunkHalf, 0.2, trunkHalf, 0.97)],
    colour: hsl(random.between(0.04, 0.1), random.between(0.3, 0.6), random.between(0.2, 0.38)),
  };
  if (random.chance(0.4)) {
    const tiers = [0, 1, 2].map((tier): Outline => {
      const half = 0.42 + 0.14 * tier;
      return [
        [0, -0.98 + 0.42 * tier],
        [half, -0.28 + 0.46 * tier],
        [-half, -0.28 + 0.46 * tier],
      ];
    });
    return [
      trunk,
      ...tiers.reverse().map((tier, i) => ({ outlines: [tier], colour: blend(leaves, palette.light, i * 0.08) })),
    ];
  }
  const lobes: Outline[] = [ellipse([0, -0.32], 0.5, 0.5)];
  const count = random.whole(5, 8);
  for (let lobe = 0; lobe < count; lobe++) {
    const angle = (2 * Math.PI * (lobe + random.between(-0.2, 0.2))) / count;
    const radius = random.between(0.24, 0.34);
    lobes.push(ellipse([0.4 * Math.cos(angle), -0.32 + 0.36 * Math.sin(angle)], radius, radius));
  }
  const highlights = [0, 1, 2].map(() =>
    ellipse(
      [random.between(-0.4, 0.3), random.between(-0.65, -0.1)],
      random.between(0.08, 0.16),
      random.between(0.06, 0.12),
    ),
  );
  return [
    trunk,
    { outlines: lobes, colour: leaves },
    { outlines: highlights, colour: blend(leaves, palette.light, random.between(0.15, 0.35)) },
  ];
}

/** A flower: petals round a disc, on a stem with two leaves. */
export function flower(random: Random, palette: Palette): Shape[] {
  const petals = random.whole(5, 9);
  const centre: Point = [0, -0.42];
  const reach = random.between(0.3, 0.36);
  const width = (2.5 * reach) / petals;
  const blossom: Outline[] = [];
  for (let petal = 0; petal < petals; petal++) {
    blossom.push(turned(ellipse([centre[0], centre[1] - reach], width, reach * 0.72), petal / petals, centre));
  }
  const green = hsl(random.between(0.25, 0.38), random.between(0.4, 0.8), random.between(0.25, 0.42));
  const bend = random.between(-0.12, 0.12);
  const stem = stroke([centre, [bend, 0.3], [0, 0.98]], random.between(0.06, 0.1));
  const leaf = (side: 1 | -1, y: number): Outline =>
    turned(ellipse([bend * 0.6 + side * 0.26, y], 0.27, 0.1), side * -0.08, [bend * 0.6, y]);
  const disc = random.between(0.15, 0.2);
  return [
    { outlines: [...stem, leaf(1, random.between(0.45, 0.7)), leaf(-1, random.between(0.45, 0.7))], colour: green },
    { outlines: blossom, colour: palette.main },
    {
      outlines: [ellipse(centre, disc, disc)],
      colour: random.chance(0.6) ? hsl(random.between(0.1, 0.16), 0.9, 0.55) : palette.second,
    },
  ];
}

/** A fish from the side: body, forked tail, fins, eye and sometimes stripes. */
export function fish(random: Random, palette: Palette): Shape[] {
  const half = random.between(0.36, 0.48);
  const body = [...arc([0, 0.25], 0.72, half + 0.25, 0.53, 0.97), ...arc([0, -0.25], 0.72, half + 0.25, 0.03, 0.47)];
  const tail: Outline = [
    [-0.5, 0],
    [-0.98, random.between(-0.48, -0.34)],
    [-0.84, 0],
    [-0.98, random.between(0.34, 0.48)],
  ];
  const topFin: Outline = [
    [-0.25, -half * 0.8],
    [-0.18, -half - 0.22],
    [0.25, -half * 0.85],
  ];
  const lowFin: Outline = [
    [-0.15, half * 0.8],
    [-0.22, half + 0.18],
    [0.15, half * 0.85],
  ];
  const fin = blend(palette.main, palette.second, random.between(0.4, 1));
  const stripes: Outline[] = random.chance(0.5)
    ? [-0.28, -0.08, 0.12].flatMap((x) =>
        stroke(
          [
            [x, -half * 0.62],
            [x + 0.05, 0],
            [x, half * 0.62],
          ],
          0.07,
        ),
      )
    : [turned(ellipse([-0.02, 0.06], 0.17, 0.09), 0.05)];
  return [
    { outlines: [tail, topFin, lowFin], colour: fin },
    { outlines: [body], colour: palette.main },
    { outlines: stripes, colour: fin },
    { outlines: [ellipse([0.42, -0.1], 0.1, 0.1)], colour: palette.light },
    { outlines: [ellipse([0.44, -0.1], 0.05, 0.05)], colour: palette.dark },
    {
      outlines: stroke(
        [
          [0.66, 0.06],
          [0.55, 0.1],
          [0.48, 0.09],
        ],
        0.035,
      ),
      colour: palette.dark,
    },
  ];
}

/** The face of a cat: pointed ears, slit eyes, nose, whiskers, sometimes stripes. */
export function cat(random: Random, palette: Palette): Shape[] {
  const wide = random.between(0.72, 0.84);
  const spread = random.between(0.3, 0.36);
  const eye = random.between(0.12, 0.17);
  const ear = (side: 1 | -1, inset: number): Outline => [
    [side * (wide * 0.98 - inset), -0.05 - inset],
    [side * (wide * 0.92 - inset * 0.6), -0.92 + inset * 1.6],
    [side * (0.14 + inset), -0.45 - inset * 0.2],
  ];
  const iris = random.chance(0.5) ? hsl(random.between(0.12, 0.4), 0.8, 0.55) : palette.light;
  const pink = hsl(0.97, 0.6, 0.7);
  const whiskers = ([1, -1] as const).flatMap((side) =>
    [-0.1, 0.02, 0.14].flatMap((rise) =>
      stroke(
        [
          [side * 0.26, 0.3 + rise * 0.5],
          [side * 0.97, 0.26 + rise * 1.6],
        ],
        0.03,
      ),
    ),
  );
  const stripes = random.chance(0.5)
    ? [-0.16, 0, 0.16].flatMap((x) =>
        stroke(
          [
            [x, -0.46],
            [x * 0.8, -0.24],
          ],
          0.07,
        ),
      )
    : [];
  const mouth = ([1, -1] as const).flatMap((side) =>
    stroke(
      [
        [0, 0.28],
        [0, 0.38],
        [side * 0.14, 0.44],
        [side * 0.24, 0.38],
      ],
      0.04,
    ),
  );
  return [
    { outlines: [ear(1, 0), ear(-1, 0), ellipse([0, 0.1], wide, 0.68)], colour: palette.main },
    { outlines: [ear(1, 0.1), ear(-1, 0.1)], colour: pink },
    { outlines: stripes, colour: palette.second },
    { outlines: [ellipse([0, 0.36], 0.32, 0.24)], colour: blend(palette.main, palette.light, 0.55) },
    { outlines: [ellipse([-spread, -0.02], eye, eye), ellipse([spread, -0.02], eye, eye)], colour: iris },
    {
      outlines: [
        ellipse([-spread, -0.02], eye * 0.35, eye * 0.9),
        ellipse([spread, -0.02], eye * 0.35, eye * 0.9),
        ...mouth,
      ],
      colour: palette.dark,
    },
    { outlines: whiskers, colour: palette.line },
    {
      outlines: [
        [
          [-0.1, 0.19],
          [0.1, 0.19],
          [0, 0.31],
        ],
      ],
      colour: pink,
    },
  ];
}
