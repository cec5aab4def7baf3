import type { Colour } from './colour.ts';
import type { Outline } from './shape.ts';

/** A picture in the making: `rgb` holds three bytes a pixel, row by row. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** How an area is coloured: light may fall off across it by `slope` (gain per pixel in x and y, 1 at `centre`). */
export interface Paint {
  readonly colour: Colour;
  readonly opacity?: number;
  readonly slope?: readonly [x: number, y: number];
  readonly centre?: readonly [x: number, y: number];
}

/** Horizontal sample lines in each row of pixels; along a line the covered share of a pixel is exact. */
const linesPerRow = 4;

interface Edge {
  readonly top: number;
  readonly bottom: number;
  readonly x: number;
  readonly step: number;
  readonly winding: 1 | -1;
}

/** Makes a black canvas. */
export function createCanvas(width: number, height: number): Canvas {
  return { width, height, rgb: new Uint8Array(width * height * 3) };
}

/** The edges of all outlines in units of sample lines, horizontal ones left out, by the line they start at. */
function edgesOf(outlines: readonly Outline[], height: number): Edge[] {
  const edges: Edge[] = [];
  for (const outline of outlines) {
    let [lastX, lastY] = outline[outline.length - 1]!;
    for (const [x, y] of outline) {
      const down = y > lastY;
      const [x0, y0, x1, y1] = down ? [lastX, lastY, x, y] : [x, y, lastX, lastY];
      const top = Math.max(0, Math.ceil(y0 * linesPerRow - 0.5));
      const bottom = Math.min(height * linesPerRow, Math.ceil(y1 * linesPerRow - 0.5));
      if (top < bottom) {
        const step = (x1 - x0) / (y1 - y0) / linesPerRow;
        edges.push({ top, bottom, x: x0 + (top + 0.5 - y0 * linesPerRow) * step, step, winding: down ? 1 : -1 });
      }
      lastX = x;
      lastY = y;
    }
  }
  return edges.sort((a, b) => a.top - b.top);
}

/** Adds the step "covered from x on" to a row of differences, whose running sum is the coverage of each pixel. */
function addStep(row: Float32Array, x: number, width: number, weight: number): void {
  const within = x < 0 ? 0 : x > width ? width : x;
  const pixel = Math.floor(within);
  const share = within - pixel;
  row[pixel] = row[pixel]! + weight * (1 - share);
  row[pixel + 1] = row[pixel + 1]! + weight * share;
}

function mixByte(old: number, fresh: number, share: number): number {
  const value = old + (fresh - old) * share;
  return value < 0 ? 0 : value > 255 ? 255 : value + 0.5;
}

/** Colours one row of pixels by its differences of coverage, and leaves those at zero for the next row. */
function paintRow(canvas: Canvas, y: number, row: Float32Array, paint: Paint): void {
  const { width, rgb } = canvas;
  const [red, green, blue] = paint.colour;
  const opacity = paint.opacity ?? 1;
  const [slopeX, slopeY] = paint.slope ?? [0, 0];
  const [centreX, centreY] = paint.centre ?? [0, 0];
  const rowGain = 1 + slopeY * (y - centreY) - slopeX * centreX;
  let coverage = 0;
  for (let x = 0; x < width; x++) {
    coverage += row[x]!;
    row[x] = 0;
    if (coverage <= 0.002) continue;
    const share = coverage > 0.998 ? opacity : coverage * opacity;
    const gain = rowGain + slopeX * x;
    const at = 3 * (y * width + x);
    rgb[at] = mixByte(rgb[at]!, red * gain, share);
    rgb[at + 1] = mixByte(rgb[at + 1]!, green * gain, share);
    rgb[at + 2] = mixByte(rgb[at + 2]!, blue * gain, share);
  }
  row[width] = 0;
  row[width + 1] = 0;
}

/**
 * Fills the union of some outlines (non-zero winding), with smooth edges; what lies off the canvas is cut off.
 * Scan conversion with a list of active edges (Foley, van Dam et al., section 3.6).
 */
export function fill(canvas: Canvas, outlines: readonly Outline[], paint: Paint): void {
  const { width, height } = canvas;
  const edges = edgesOf(outlines, height);
  const first = edges[0];
  if (first === undefined) return;
  const row = new Float32Array(width + 2);
  let active: Edge[] = [];
  let upcoming = 0;
  for (let y = Math.floor(first.top / linesPerRow); y < height; y++) {
    for (let line = y * linesPerRow; line < (y + 1) * linesPerRow; line++) {
      active = active.filter((edge) => edge.bottom > line);
      while (upcoming < edges.length && edges[upcoming]!.top <= line) active.push(edges[upcoming++]!);
      const at = (edge: Edge) => edge.x + (line - edge.top) * edge.step;
      active.sort((a, b) => at(a) - at(b));
      let winding = 0;
      for (const edge of active) {
        const before = winding;
        winding += edge.winding;
        if (before === 0) addStep(row, at(edge), width, 1 / linesPerRow);
        else if (winding === 0) addStep(row, at(edge), width, -1 / linesPerRow);
      }
    }
    paintRow(canvas, y, row, paint);
    if (active.length === 0 && upcoming === edges.length) return;
  }
}
