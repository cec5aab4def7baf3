import { at, label, line, xml } from '../../cli/svg.ts';

/** Plots of experiments as SVG, with units on both axes. */

/** Colours that people with colour blindness tell apart (Okabe and Ito 2008). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#555555', '#b0a000', '#7a3db8'];
const [WIDTH, HEIGHT] = [760, 420];
const [LEFT, RIGHT, TOP, BOTTOM] = [70, 190, 40, 50];

/** Points of one colour, joined by lines. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** What a plot shows, apart from its data. */
export interface PlotTexts {
  readonly title: string;
  /** With units. */
  readonly x: string;
  readonly y: string;
}

/** Lines over a linear axis that begins at 0, or at the smallest value where all are far from 0. */
export function linePlot(texts: PlotTexts, series: readonly Series[]): string {
  const xs = series.flatMap(({ points }) => points.map(([x]) => x));
  const ys = series.flatMap(({ points }) => points.map(([, y]) => y));
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const x = (value: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * (value - left)) / Math.max(right - left, 1e-9);
  const top = niceTop(Math.max(...ys));
  const y = yOf(top);
  const marks = right - left <= 10 ? [...new Set(xs)] : stepsTo(right).filter((value) => value >= left);
  return svg(texts, [
    ...yGrid(top),
    ...marks.map((value) => label(x(value), HEIGHT - BOTTOM + 16, 'middle', short(value))),
    ...series.flatMap(({ name, points }, i) => [
      `<polyline points="${points.map(([px, py]) => `${at(x(px))},${at(y(py))}`).join(' ')}" fill="none" stroke="${colour(i)}" stroke-width="2"/>`,
      ...points.map(([px, py]) => `<circle cx="${at(x(px))}" cy="${at(y(py))}" r="3" fill="${colour(i)}"/>`),
      ...legend(name, i),
    ]),
  ]);
}

/** One bar for each column, of pieces on top of one another. `pieces`: the values of each column. */
export function barPlot(
  texts: PlotTexts,
  columns: readonly string[],
  pieces: readonly { readonly name: string; readonly values: readonly number[] }[],
): string {
  const sums = columns.map((_, i) => pieces.reduce((sum, { values }) => sum + Math.max(0, values[i]!), 0));
  const top = niceTop(Math.max(...sums));
  const y = yOf(top);
  const step = (WIDTH - LEFT - RIGHT) / columns.length;
  const bars = columns.flatMap((column, i) => {
    let below = 0;
    const parts = pieces.map(({ name, values }, piece) => {
      const value = Math.max(0, values[i]!);
      const [from, to] = [y(below), y(below + value)];
      below += value;
      const place = `x="${at(LEFT + step * (i + 0.2))}" y="${at(to)}" width="${at(step * 0.6)}" height="${at(from - to)}"`;
      return `<rect ${place} fill="${colour(piece)}"><title>${xml(`${column}, ${name}: ${short(value)}`)}</title></rect>`;
    });
    return [...parts, label(LEFT + step * (i + 0.5), HEIGHT - BOTTOM + 16, 'middle', column)];
  });
  return svg(texts, [...yGrid(top), ...bars, ...pieces.flatMap(({ name }, i) => legend(name, i))]);
}

const colour = (index: number): string => COLOURS[index % COLOURS.length]!;

function yOf(top: number): (value: number) => number {
  return (value) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * value) / top;
}

function yGrid(top: number): string[] {
  const y = yOf(top);
  return stepsTo(top).flatMap((value) => [
    line(LEFT, y(value), WIDTH - RIGHT, y(value), 'stroke="#ddd"'),
    label(LEFT - 6, y(value) + 4, 'end', short(value)),
  ]);
}

function legend(name: string, index: number): string[] {
  const top = TOP + 16 * index;
  return [
    `<rect x="${WIDTH - RIGHT + 12}" y="${top - 9}" width="10" height="10" fill="${colour(index)}"/>`,
    label(WIDTH - RIGHT + 28, top, 'start', name),
  ];
}

function svg({ title, x, y }: PlotTexts, content: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" role="img">`,
    `<title>${xml(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    label(LEFT, 16, 'start', title),
    label(8, TOP - 8, 'start', y),
    label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'middle', x),
    ...content,
    '</svg>',
    '',
  ].join('\n');
}

/** 1, 2 or 5 times a power of ten, so that about five of it reach `value`. */
function stepFor(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value / 5));
  return power * ([1, 2, 5].find((digit) => (digit * power * 10) / 1.5 >= value) ?? 10);
}

function niceTop(value: number): number {
  const step = stepFor(value);
  return Math.ceil((value * 1.001) / step) * step;
}

function stepsTo(top: number): number[] {
  const step = stepFor(top);
  return Array.from({ length: Math.floor(top / step + 1e-6) + 1 }, (_, i) => i * step);
}

const short = (value: number): string => String(Number(value.toPrecision(3)));
