import { at, label, line, ticks, xml } from '../svg.ts';
import type { MeasuredCut } from './calibrate.ts';
import { type Calibration, choiceOf, percent, sentences, shownSettings, tableOf } from './report.ts';

/** Colours that people with colour blindness tell apart (Okabe and Ito 2008). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#555555', '#b0a000'];

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = 20;
const TOP = 30;
const BOTTOM = 50;

/** Agreements with a grid line. */
const SHARES = [1, 0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5, 0];

function bytesText(bytes: number): string {
  return bytes >= 1e6 ? `${bytes / 1e6} MB` : bytes >= 1000 ? `${bytes / 1000} kB` : `${bytes} B`;
}

/** An SVG plot of bytes a picture against 1 less the agreement shown, both logarithmic, with a line for each cut. */
export function plotSvg(calibration: Calibration): string {
  const { cuts, bound, model } = calibration;
  const shown = cuts.map((cut) => shownSettings(cut, bound));
  const all = shown.flat();
  const bytes = all.map((setting) => setting.bytes);
  const [least, most] = [Math.min(...bytes) / 1.2, Math.max(...bytes) * 1.2];
  // What is lost on a logarithmic scale, on which nothing has no place: half a picture stands for it.
  const nothing = 0.5 / calibration.pictures;
  const worst = Math.max(1 - bound, ...all.map(({ shown }) => 1 - shown)) + nothing;
  const x = (value: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(value / least)) / Math.log(most / least);
  const y = (agreement: number): number =>
    TOP +
    ((HEIGHT - TOP - BOTTOM) * Math.log((1 - agreement + nothing) / nothing)) / Math.log((worst + nothing) / nothing);

  const shares = SHARES.filter((share) => 1 - share <= worst && (share === 1 || y(share) > TOP + 12));
  const grid = [
    ...ticks(least, most).flatMap((value) => [
      line(x(value), TOP, x(value), HEIGHT - BOTTOM, 'stroke="#ddd"'),
      label(x(value), HEIGHT - BOTTOM + 16, 'middle', bytesText(value)),
    ]),
    ...shares.flatMap((share) => [
      line(LEFT, y(share), WIDTH - RIGHT, y(share), 'stroke="#ddd"'),
      label(LEFT - 6, y(share) + 4, 'end', percent(share, 1)),
    ]),
    line(LEFT, y(bound), WIDTH - RIGHT, y(bound), 'stroke="#000" stroke-dasharray="6 4"'),
    label(WIDTH - RIGHT, y(bound) + 14, 'end', `bound ${percent(bound)}`),
    label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, 'middle', 'bytes a picture'),
    label(LEFT - 6, TOP - 10, 'end', 'agreement shown'),
  ];

  const best = choiceOf(calibration)?.setting;
  const curves = cuts.flatMap((cut, index) => {
    const colour = COLOURS[index % COLOURS.length]!;
    const plain = shown[index]!.filter(({ rule }) => rule.beyond === 0 && rule.deadZone === 0);
    const points = plain.map((setting) => `${at(x(setting.bytes))},${at(y(setting.shown))}`).join(' ');
    return [
      `<polyline points="${points}" fill="none" stroke="${colour}" stroke-width="1.5"/>`,
      ...shown[index]!.flatMap((setting) => {
        const [left, top] = [x(setting.bytes), y(setting.shown)];
        const fill = plain.includes(setting) ? colour : '#fff';
        const about = `${cut.tensors.join(', ')}: ${Object.values(setting.codecs).join(' ')}, ${setting.bytes} bytes, ${percent(setting.shown)}`;
        return [
          ...(setting === best
            ? [`<circle cx="${at(left)}" cy="${at(top)}" r="9" fill="none" stroke="#000" stroke-width="2"/>`]
            : []),
          `<circle cx="${at(left)}" cy="${at(top)}" r="4" fill="${fill}" stroke="${colour}" stroke-width="1.5"><title>${xml(about)}</title></circle>`,
          label(left, top - 7, 'middle', String(setting.bits)),
        ];
      }),
      ...legend(cut, cuts.length - 1 - index, colour),
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11" role="img">`,
    `<title>${xml(`${model}: bytes against agreement`)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...grid,
    ...curves,
    '</svg>',
  ].join('\n');
}

/** A line's name at the right, above the axis. */
function legend({ tensors }: MeasuredCut, above: number, colour: string): string[] {
  const [right, top] = [WIDTH - RIGHT - 8, HEIGHT - BOTTOM - 12 - 16 * above];
  const name = tensors.join(', ');
  return [
    label(right - 14, top + 4, 'end', name.length > 60 ? `...${name.slice(-57)}` : name),
    `<circle cx="${right}" cy="${top}" r="4" fill="${colour}"/>`,
  ];
}

/** The report as one self-contained HTML page: explanation, plot, table. */
export function reportHtml(calibration: Calibration): string {
  const { titles, rows } = tableOf(calibration);
  const row = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr${cells.includes('chosen') ? ' class="chosen"' : ''}>${cells.map((cell) => `<${tag}>${xml(cell)}</${tag}>`).join('')}</tr>`;
  const title = xml(`Calibration of ${calibration.model}`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<style>
body { font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; font-size: 0.85em; }
th, td { padding: 0.2em 0.7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.chosen { font-weight: bold; background: #eef6ff; }
</style>
</head>
<body>
<h1>${title}</h1>
${sentences(calibration)
  .map((sentence) => `<p>${xml(sentence)}</p>`)
  .join('\n')}
${plotSvg(calibration)}
<p>Numbers at the points are bits; full points have min-max bounds, hollow ones others; the ring is what was chosen.</p>
<table>
${[row(titles, 'th'), ...rows.map((cells) => row(cells, 'td'))].join('\n')}
</table>
</body>
</html>
`;
}
