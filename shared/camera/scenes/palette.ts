import type { Random } from '../../random.ts';
import { anyColour, type Colour, contrast, hsl, standingOut } from './colour.ts';

/** The colours that one object is drawn with. */
export interface Palette {
  /** Covers most of the object; stands out from the background. */
  readonly main: Colour;
  /** A second large area; stands out from `main`. */
  readonly second: Colour;
  /** Nearly black, for wheels, pupils and thin parts. */
  readonly dark: Colour;
  /** Nearly white, for glass, sails and faces. */
  readonly light: Colour;
  /** What thin parts are drawn with: whichever of dark and light stands out more from the background. */
  readonly line: Colour;
}

/** Draws the colours of an object that is seen against `background`. */
export function drawPalette(random: Random, background: Colour): Palette {
  const main = standingOut(() => anyColour(random), background, 50);
  const second = standingOut(() => anyColour(random), main, 55);
  const tint = random.next();
  const dark = hsl(tint, random.between(0, 0.3), random.between(0.05, 0.2));
  const light = hsl(tint, random.between(0, 0.5), random.between(0.82, 0.97));
  const line = contrast(dark, background) > contrast(light, background) ? dark : light;
  return { main, second, dark, light, line };
}
