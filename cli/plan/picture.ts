import { paretoFront } from '../../central/planner/query/pareto.ts';
import type { Ranked } from '../../central/planner/query/rank.ts';
import type { Problem } from '../../central/planner/strategy.ts';
import { at, label, line, ticks } from '../svg.ts';
import { bytesText, msText, stagesText } from './report.ts';

const WIDTH = 760;
const HEIGHT = 460;
const LEFT = 80;
const RIGHT = 20;
const TOP = 64;
const BOTTOM = 60;
/** Most plans beside the front that are drawn. */
const MOST_POINTS = 2000;
/** Most plans of the front with their stages beside them. */
const MOST_NAMED = 8;

/**
 * An SVG picture of plans: latency against the bytes between machines, both logarithmic, with the Pareto front. Plans
 * that send nothing stand at the lower edge.
 */
export function pictureSvg(problem: Problem, title: string, plans: readonly Ranked[]): string {
  const front = paretoFront(plans);
  const latencies = plans.map(({ prediction }) => Math.max(prediction.latency_ms, 1e-3));
  const sizes = plans.map(({ prediction }) => prediction.transferred_bytes).filter((bytes) => bytes > 0);
  const [fast, slow] = [least(latencies) / 1.1, -least(latencies.map((ms) => -ms)) * 1.1];
  const [few, many] = sizes.length === 0 ? [1, 10] : [least(sizes) / 2, -least(sizes.map((bytes) => -bytes)) * 1.3];
  const x = (ms: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * Math.log(Math.max(ms, 1e-3) / fast)) / Math.log(slow / fast);
  const y = (bytes: number): number =>
    HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * Math.log(Math.max(bytes, few) / few)) / Math.log(many / few);
  const place = ({ prediction }: Ranked): readonly [number, number] => [
    x(prediction.latency_ms),
    y(prediction.transferred_bytes),
  ];
  const step = Math.max(1, Math.ceil(plans.length / MOST_POINTS));
  const dots = plans.filter((_, index) => index % step === 0).map((plan) => dot(place(plan), 2, '#9ab'));
  const way = front.map((plan, index) => {
    const [left, top] = place(plan);
    return index === 0 ? `M${at(left)} ${at(top)}` : `H${at(left)} V${at(top)}`;
  });
  const names = front.slice(0, MOST_NAMED).map((plan) => {
    const [left, top] = place(plan);
    const isRight = left > WIDTH - 260;
    return label(left + (isRight ? -7 : 7), top - 5, isRight ? 'end' : 'start', stagesText(problem, plan));
  });
  const grid = [
    ...ticks(fast, slow).flatMap((ms) => [
      line(x(ms), TOP, x(ms), HEIGHT - BOTTOM, 'stroke="#ddd"'),
      label(x(ms), HEIGHT - BOTTOM + 16, 'middle', msText(ms)),
    ]),
    ...ticks(few, many)
      .filter((bytes) => y(bytes) < HEIGHT - BOTTOM - 14)
      .flatMap((bytes) => [
        line(LEFT, y(bytes), WIDTH - RIGHT, y(bytes), 'stroke="#ddd"'),
        label(LEFT - 6, y(bytes) + 4, 'end', bytesText(bytes)),
      ]),
    line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, 'stroke="#444"'),
    line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, 'stroke="#444"'),
    label(LEFT - 6, HEIGHT - BOTTOM + 4, 'end', '0'),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    '<rect width="100%" height="100%" fill="white"/>',
    label(10, 18, 'start', title),
    label(10, 33, 'start', `${plans.length} plans; orange: no other one is both faster and sends less`),
    ...grid,
    ...dots,
    `<path d="${way.join(' ')}" fill="none" stroke="#d55e00" stroke-width="1.5"/>`,
    ...front.map((plan) => dot(place(plan), 4, '#d55e00')),
    ...names,
    label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 20, 'middle', 'latency of a frame (ms)'),
    label(10, TOP - 8, 'start', 'bytes between machines, for a frame'),
    '</svg>',
    '',
  ].join('\n');
}

function dot([left, top]: readonly [number, number], radius: number, colour: string): string {
  return `<circle cx="${at(left)}" cy="${at(top)}" r="${radius}" fill="${colour}"/>`;
}

/** The least of any number of numbers. */
function least(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
}
