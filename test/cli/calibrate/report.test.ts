import { describe, expect, it } from 'vitest';
import type { Measured, MeasuredCut } from '../../../cli/calibrate/calibrate.ts';
import { plotSvg, reportHtml } from '../../../cli/calibrate/plot.ts';
import { type Calibration, cardEntries, choiceOf, reportLines } from '../../../cli/calibrate/report.ts';
import { parseCard } from '../../../shared/model/card.ts';

/** What is chosen is what plans will do: the report, the plot and model.yaml must agree. */

/** On the pictures the agreement was 0.2 points higher than what they show. */
const setting = (bits: number, bytes: number, shown: number, beyond = 0, tensor = 'relu_1'): Measured => ({
  codecs: { [tensor]: `clip:0:${6 - 1000 * beyond}:${bits}` },
  bits,
  rule: { beyond, deadZone: 0 },
  bytes,
  agreement: Math.min(1, shown + 0.002),
  shown,
  largest: 0.1,
  mean: 0.01,
});
const early: MeasuredCut = {
  tensors: ['relu_1'],
  raw_bytes: 10_000,
  commonest: 0.1,
  settings: [
    setting(3, 500, 0.9),
    setting(4, 800, 0.99),
    setting(5, 1100, 1),
    setting(4, 700, 0.992, 0.001),
    setting(5, 1300, 0.998, 0.001),
  ],
};
const evil = '</svg><script>"a" & \u0007';
const late: MeasuredCut = {
  tensors: [evil],
  raw_bytes: 4000,
  commonest: 0.1,
  settings: [setting(8, 720, 0.995, 0, evil)],
};
const calibration: Calibration = {
  model: 'm',
  model_sha256: 'a'.repeat(64),
  task: 'classify',
  measure: 'answers',
  bound: 0.99,
  pictures: 200,
  skipped: 0,
  grid: [2, 2],
  cuts: [early, late],
};

describe('the choice', () => {
  it('is the cut and the bits with the fewest bytes that keep the bound', () => {
    expect(choiceOf(calibration)?.setting.bytes).toBe(700);
    expect(choiceOf({ ...calibration, bound: 0.994 })?.cut).toBe(late);
    expect(choiceOf({ ...calibration, bound: 0.995, cuts: [early] })?.setting.bytes).toBe(1100);
    expect(choiceOf({ ...calibration, bound: 0.999, cuts: [late] })).toBeUndefined();
  });

  it('is written together with codecs for stricter bounds, in the format of model.yaml', () => {
    const entries = cardEntries(calibration);
    expect(entries.map(({ bytes }) => bytes)).toEqual([700, 1100, 720]);
    expect(parseCard({ name: 'm', task: 'classify', calibrated: entries }, 'model.yaml').calibrated).toEqual(entries);
    const third = { ...calibration, cuts: [{ ...early, settings: [setting(4, 800, 2 / 3)] }], bound: 0.6 };
    expect(cardEntries(third)[0]?.agreement).toBe(0.6666);
    const rounded = { ...calibration, cuts: [{ ...early, settings: [setting(4, 800, 57 / 100)] }], bound: 0.57 };
    expect(cardEntries(rounded)[0]?.agreement).toBe(0.57);
  });

  it('is written among as many others as model.yaml takes, the most accurate among them, however many were found', () => {
    const settings = Array.from({ length: 30 }, (_, i) => setting(4, 100 + i, 0.9 + i / 1000));
    const many = { ...calibration, bound: 0.9, cuts: [early, ...Array(9).fill({ ...early, settings })] };
    const entries = cardEntries(many);
    expect(parseCard({ name: 'm', task: 'classify', calibrated: entries }, 'model.yaml').calibrated).toEqual(entries);
    expect(entries).toContainEqual(expect.objectContaining({ bytes: choiceOf(many)!.setting.bytes }));
    expect(entries).toContainEqual(expect.objectContaining({ bytes: 129, agreement: 0.929 }));
  });
});

describe('the report', () => {
  it('says what was chosen, and what the pictures show', () => {
    const text = reportLines(calibration).join('\n');
    expect(text).toMatch(/relu_1 +4 +0\.\.5 +0\.1 % beyond +700 +7\.0 % +99\.40 % +99\.20 % .* chosen/);
    expect(text).toContain('"relu_1" as clip:0:5:4; 700 bytes a picture, 7.0 % of raw');
    expect(text).toContain('agreement 99.40 %; that shows 99.20 % on others like them');
    // Another one is better in bytes and agreement, and is not min-max.
    expect(text).not.toContain('1300');
  });

  it('warns where pictures are all of one class: agreement on them says little', () => {
    expect(reportLines(calibration).join('\n')).not.toContain('same top prediction:');
    const alike = { ...calibration, cuts: [{ ...early, commonest: 1 }] };
    expect(reportLines(alike).join('\n')).toContain('100 % of these pictures have the same top prediction:');
  });

  it('says what agreement means for networks without classes, and where nothing keeps the bound', () => {
    const text = reportLines({ ...calibration, measure: 'differences', task: 'detect', bound: 1, cuts: [late] }).join(
      '\n',
    );
    expect(text).toContain('task detect has no single top prediction');
    expect(text).toContain('No codec is shown to keep 100.00 %');
    expect(text).not.toContain('95 %');
  });

  it('is one page without scripts, whatever the names of tensors', () => {
    for (const text of [reportHtml(calibration), plotSvg(calibration)]) {
      expect(text).not.toContain('<script');
      expect(text.match(/<\/svg>/g)).toHaveLength(1);
      expect(text).toContain('&lt;/svg&gt;&lt;script&gt;&quot;a&quot; &amp; ?');
      expect(text).not.toMatch(/NaN|Infinity|undefined/);
    }
  });

  it('draws a single codec at a single cut too', () => {
    const single = { ...calibration, bound: 1, cuts: [{ ...early, settings: [setting(4, 800, 1)] }] };
    expect(plotSvg(single)).not.toMatch(/NaN|Infinity/);
  });
});
