import { describe, expect, it } from 'vitest';
import { latency } from '../../../bench/experiment/comparisons.ts';
import { adaptation } from '../../../bench/experiment/dynamic.ts';
import { documentOf, type Experiment } from '../../../bench/experiment/experiment.ts';
import { barPlot, linePlot } from '../../../bench/experiment/plot.ts';

const texts = { title: 'Speed & size', x: 'nodes', y: 'ms' };

describe('plots', () => {
  it('have their axes named, their points within the picture, and text that is no markup', () => {
    const drawn = linePlot(texts, [
      {
        name: 'a < b',
        points: [
          [1, 100],
          [8, 650],
        ],
      },
    ]);
    for (const said of ['Speed &amp; size', '>nodes<', '>ms<', 'a &lt; b']) expect(drawn).toContain(said);
    for (const [, left, top] of drawn.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)) {
      expect(Number(left)).toBeLessThanOrEqual(760);
      expect(Number(top)).toBeGreaterThanOrEqual(40);
      expect(Number(top)).toBeLessThanOrEqual(370);
    }
  });

  it('stack pieces, so that the height of a bar is their sum', () => {
    const drawn = barPlot(
      texts,
      ['one'],
      [
        { name: 'x', values: [30] },
        { name: 'y', values: [70] },
      ],
    );
    const heights = [...drawn.matchAll(/<rect x="[\d.]+" y="[\d.]+" width="[\d.]+" height="([\d.]+)"/g)];
    expect(Number(heights[1]![1]) / Number(heights[0]![1])).toBeCloseTo(7 / 3, 1);
  });
});

describe('the table of latencies', () => {
  it('says where one device is faster than the cluster', () => {
    const result = (speedup: number) =>
      ({
        ...{
          single_ms: 60,
          cluster_ms: 60 / speedup,
          speedup,
          bound: 4,
          of_bound: speedup / 4,
          free_share: 0,
          noise: 0,
        },
        ...{ broker_central_cpu_ms: 20, warm_up: { frames: 250 }, plan: { stages: [] }, accuracy: '' },
      }) as unknown as Parameters<typeof latency.table>[0][number][1];
    const rows = latency.table([
      ['slower', result(0.5)],
      ['faster', result(2)],
    ]);
    expect(rows.slice(1).map((row) => row[3])).toEqual(['0.50: do not split', '2.00']);
  });
});

describe('the document of an experiment', () => {
  const experiment: Experiment<{ readonly doubts: readonly string[]; readonly ms: number }> = {
    question: 'How long?',
    notMeasured: 'rain.',
    cells: ['a', 'b'].map((key) => ({ key, run: async () => ({ doubts: [], ms: 1 }) })),
    table: (results) => [['cell', 'ms'], ...results.map(([key, { ms }]) => [key, String(ms)])],
    plot: () => '',
  };

  it('names the machine, what is not measured, and the cells that are missing', () => {
    const kept = {
      experiment: 'long',
      machine: { cpu: 'abacus', cores: 2, node: 'v20' },
      cells: { b: { doubts: [], ms: 7 }, gone: {} },
    };
    const text = documentOf('long', experiment, kept);
    for (const said of ['2 cores of abacus', '| b | 7 |', 'Not measured: rain.', 'Not yet measured: a.'])
      expect(text).toContain(said);
    expect(text).not.toContain('gone');
  });
});

describe('adaptation to changed speeds', () => {
  const frames = (...times: number[]) => times.map((ms) => ({ ms, tiles: {} }));

  it('counts the frames until one is within 15 % of what the speeds allow', () => {
    const before = Array.from({ length: 10 }, () => 300);
    const adapted = adaptation(frames(...before, 600, 500, 450, 420), 10, 0.75);
    expect(adapted).toEqual({ before_ms: 300, possible_ms: 400, frames_until_near: 2 });
    expect(adaptation(frames(...before, 600, 600), 10, 0.75).frames_until_near).toBeUndefined();
  });
});
