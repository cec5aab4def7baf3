import type { Prediction } from '../protocol/messages/result.ts';
import type { FrameMapping, Size } from './picture-placement.ts';

/** Draws predictions on pictures. */

type Rgb = readonly [number, number, number];

/** A colour for each class: hues are a golden angle apart, so that neighbours differ. */
export function classColour(index: number): Rgb {
  const hue = (index * 137.508) % 360;
  const channel = (offset: number): number => {
    const k = (offset + hue / 30) % 12;
    return Math.round(255 * (0.5 - 0.45 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

/** Text escaped for XML; characters that XML cannot hold are dropped. */
export function escapeXml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that must not stay.
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '')
      .replace(/\p{Cs}/gu, '')
      .replace(/[&<>"']/g, (character) => entities[character]!)
  );
}

/** Labels are cut to this many characters. */
const LABEL_LENGTH = 40;

/** A strip of text on a coloured ground, at a given top left corner. */
function strip(text: string, x: number, y: number, font: number, [red, green, blue]: Rgb): string {
  const width = Math.ceil(text.length * font * 0.62 + font * 0.5);
  const dark = 0.299 * red + 0.587 * green + 0.114 * blue > 140;
  return (
    `<rect x="${x}" y="${y}" width="${width}" height="${Math.ceil(font * 1.3)}" fill="rgb(${red},${green},${blue})"/>` +
    `<text x="${x + font * 0.25}" y="${y + font}" font-family="DejaVu Sans Mono, monospace" font-size="${font}" ` +
    `fill="${dark ? 'black' : 'white'}">${escapeXml(text)}</text>`
  );
}

const said = ({ label, score }: Prediction) => {
  const name = label.length > LABEL_LENGTH ? `${label.slice(0, LABEL_LENGTH - 1)}…` : label;
  return `${name} ${score.toFixed(2)}`;
};

/**
 * Predictions as SVG over a picture of `size` that is `scale` times as large as the frame: boxes with their labels, or
 * lines of labels at the top where there are no boxes.
 */
export function predictionsSvg(size: Size, scale: number, predictions: readonly Prediction[]): string {
  const { width, height } = size;
  const font = Math.max(10, Math.round(Math.min(width, height) / 28));
  const line = Math.max(1.5, Math.min(width, height) / 200);
  const labels = [...new Set(predictions.map(({ label }) => label))].sort();
  let row = 0;
  // The best predictions are drawn last, on top.
  const parts = predictions.toReversed().map((prediction) => {
    const colour = classColour(labels.indexOf(prediction.label));
    if (prediction.box === undefined) return '';
    const [x1, y1, x2, y2] = prediction.box.map((side) => side * scale) as [number, number, number, number];
    const above = y1 - font * 1.3;
    return (
      `<rect x="${x1}" y="${y1}" width="${x2 - x1}" height="${y2 - y1}" fill="none" ` +
      `stroke="rgb(${colour.join(',')})" stroke-width="${line}"/>` +
      strip(said(prediction), Math.max(0, x1 - line / 2), Math.max(0, above), font, colour)
    );
  });
  const lines = predictions
    .filter(({ box }) => box === undefined)
    .map((prediction) => strip(said(prediction), 0, row++ * Math.ceil(font * 1.3), font, [24, 24, 24]));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${parts.join('')}${lines.join('')}</svg>`;
}

/** Class numbers of the cells of a grid over the network's input. */
export interface ClassGrid {
  readonly rows: number;
  readonly columns: number;
  readonly classes: ArrayLike<number>;
}

/**
 * Blends the colours of classes with RGB pixels [h, w, 3], half and half. `input` is the network's input, `mapping`
 * leads from its pixels to the frame's, and the picture is `scale` times as large as the frame. Pixels outside the
 * network's crop, and those of class `plain`, are not changed.
 */
export function layOver(
  { rgb, width, height }: Size & { readonly rgb: Uint8Array },
  grid: ClassGrid,
  { input, mapping, scale, plain }: { input: Size; mapping: FrameMapping; scale: number; plain: number | null },
): Uint8Array {
  const out = rgb.slice();
  for (let y = 0; y < height; y++) {
    const inputY = ((y + 0.5) / scale - mapping.offsetY) / mapping.scaleY;
    const row = Math.floor((inputY * grid.rows) / input.height);
    if (row < 0 || row >= grid.rows) continue;
    for (let x = 0; x < width; x++) {
      const inputX = ((x + 0.5) / scale - mapping.offsetX) / mapping.scaleX;
      const column = Math.floor((inputX * grid.columns) / input.width);
      if (column < 0 || column >= grid.columns) continue;
      const index = grid.classes[row * grid.columns + column]!;
      if (index === plain) continue;
      const colour = classColour(index);
      for (let channel = 0; channel < 3; channel++) {
        const at = (y * width + x) * 3 + channel;
        out[at] = (out[at]! + colour[channel]!) >> 1;
      }
    }
  }
  return out;
}
