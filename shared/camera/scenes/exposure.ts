import type { Random } from '../../random.ts';
import type { Canvas } from './raster.ts';

/** Averages along one line of pixels over a window of `2 radius + 1` pixels, the radius a fraction; the ends repeat. */
function blurLine(
  rgb: Uint8Array,
  line: Uint8Array,
  start: number,
  stride: number,
  length: number,
  radius: number,
): void {
  const whole = Math.floor(radius);
  const part = radius - whole;
  const scale = 1 / (2 * radius + 1);
  for (let i = 0; i < length; i++) line[i] = rgb[start + i * stride]!;
  const last = length - 1;
  let sum = 0;
  for (let i = -whole; i <= whole; i++) sum += line[i < 0 ? 0 : i > last ? last : i]!;
  for (let i = 0; i < length; i++) {
    const left = i - whole - 1;
    const right = i + whole + 1;
    const before = line[left < 0 ? 0 : left]!;
    const after = line[right > last ? last : right]!;
    rgb[start + i * stride] = (sum + part * (before + after)) * scale + 0.5;
    sum += after - line[left + 1 < 0 ? 0 : left + 1]!;
  }
}

/** Blurs the picture as a lens out of focus does, by two box blurs of the radius (pixels) in each direction. */
export function blur(canvas: Canvas, radius: number): void {
  const { width, height, rgb } = canvas;
  const line = new Uint8Array(Math.max(width, height));
  for (let pass = 0; pass < 2; pass++) {
    for (let channel = 0; channel < 3; channel++) {
      for (let y = 0; y < height; y++) blurLine(rgb, line, 3 * y * width + channel, 3, width, radius);
      for (let x = 0; x < width; x++) blurLine(rgb, line, 3 * x + channel, 3 * width, height, radius);
    }
  }
}

/** A table of 4096 normally distributed values: the sum of 12 evenly distributed ones is near enough. */
function normalValues(random: Random, deviation: number): Float32Array {
  const values = new Float32Array(4096);
  for (let i = 0; i < values.length; i++) {
    let sum = -6;
    for (let draw = 0; draw < 12; draw++) sum += random.next();
    values[i] = sum * deviation;
  }
  return values;
}

/** What the light and the sensor do to a picture. */
export interface Exposure {
  /** Gain in the middle of the picture for red, green and blue. */
  readonly gain: readonly [red: number, green: number, blue: number];
  /** How much the light gains from the left edge to the right one, and from top to bottom. */
  readonly slope: readonly [x: number, y: number];
  /** Standard deviation of the sensor's noise, in steps of 0 to 255. */
  readonly noise: number;
}

/** Applies light and noise in one pass; every row starts at a random place of the table of noise. */
export function expose(canvas: Canvas, exposure: Exposure, random: Random): void {
  const { width, height, rgb } = canvas;
  const noise = normalValues(random, exposure.noise);
  const [red, green, blue] = exposure.gain;
  let at = 0;
  for (let y = 0; y < height; y++) {
    const rowGain = 1 + exposure.slope[1] * (y / height - 0.5) - exposure.slope[0] / 2;
    let from = random.whole(0, 4095);
    for (let x = 0; x < width; x++) {
      const gain = rowGain + (exposure.slope[0] * x) / width;
      rgb[at] = clampByte(rgb[at]! * gain * red + noise[from & 4095]!);
      rgb[at + 1] = clampByte(rgb[at + 1]! * gain * green + noise[(from + 1) & 4095]!);
      rgb[at + 2] = clampByte(rgb[at + 2]! * gain * blue + noise[(from + 2) & 4095]!);
      at += 3;
      from += 3;
    }
  }
}

function clampByte(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : value + 0.5;
}
