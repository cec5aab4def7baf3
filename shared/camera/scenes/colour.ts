import type { Random } from '../../random.ts';

/** Red, green and blue, each 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number];

/** Converts hue (turns, any number), saturation and lightness (0 to 1) to a colour; the formula of CSS Color 4. */
export function hsl(hue: number, saturation: number, lightness: number): Colour {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  const channel = (offset: number) => {
    const k = (((offset + hue * 12) % 12) + 12) % 12;
    return 255 * (lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  };
  return [channel(0), channel(8), channel(4)];
}

/** The colour that lies `share` of the way from one colour to another. */
export function blend(from: Colour, to: Colour, share: number): Colour {
  return [
    from[0] + (to[0] - from[0]) * share,
    from[1] + (to[1] - from[1]) * share,
    from[2] + (to[2] - from[2]) * share,
  ];
}

/** How bright a colour looks, 0 to 255 (the luma weights of ITU-R BT.601). */
function luma(colour: Colour): number {
  return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2];
}

/** How different two colours look, 0 to 255: mostly their brightness, partly their hue. */
export function contrast(a: Colour, b: Colour): number {
  const hue = (Math.abs(a[0] - b[0]) + Math.abs(a[1] - b[1]) + Math.abs(a[2] - b[2])) / 3;
  return 0.6 * Math.abs(luma(a) - luma(b)) + 0.4 * hue;
}

/** Draws from `candidate` until the colour stands out from `against`; after 12 attempts the best one is taken. */
export function standingOut(candidate: () => Colour, against: Colour, least: number): Colour {
  let best = candidate();
  for (let attempt = 1; attempt < 12 && contrast(best, against) < least; attempt++) {
    const other = candidate();
    if (contrast(other, against) > contrast(best, against)) best = other;
  }
  return best;
}

/** Any colour that is neither black nor white. */
export function anyColour(random: Random): Colour {
  return hsl(random.next(), random.between(0.1, 0.95), random.between(0.22, 0.8));
}
