import { describe, expect, it } from 'vitest';
import { priorCount, priorsOf } from '../../../../shared/model/heads/priors.ts';

describe('priors', () => {
  it("are TensorFlow's own numbers for SSD with MobileNet", () => {
    // box_priors.txt of TensorFlow Lite's example: y, x, height and width of some of the 1917 priors.
    const priors = priorsOf('ssd-mobilenet', { width: 300, height: 300 });
    const at = (prior: number) => Array.from(priors.slice(4 * prior, 4 * prior + 4), (value) => value / 300);
    const close = (values: readonly number[]) => values.map((value) => expect.closeTo(value, 5));
    expect(priors.length / 4).toBe(1917);
    expect(at(0)).toEqual(close([0.0263158, 0.0263158, 0.1, 0.1]));
    expect(at(1)).toEqual(close([0.0263158, 0.0263158, 0.2828427, 0.1414214]));
    expect(at(2)).toEqual(close([0.0263158, 0.0263158, 0.1414214, 0.2828427]));
    expect(at(1083)).toEqual(close([0.05, 0.05, 0.35, 0.35]));
    expect(at(1088)).toEqual(close([0.05, 0.05, 0.41833, 0.41833]));
    expect(at(1916)).toEqual(close([0.5, 0.5, 0.9746794, 0.9746794]));
  });

  it('have the published numbers of boxes', () => {
    expect(priorCount('ssd300-voc', { width: 300, height: 300 })).toBe(8732);
    expect(priorCount('ssd-mobilenet', { width: 320, height: 320 })).toBe(2034);
    expect(priorCount('retinaface', { width: 640, height: 640 })).toBe(16_800);
  });

  it('may be a list of grids', () => {
    const grids = [
      { stride: 16, sizes: [[20, 30]] as [number, number][] },
      { rows: 1, columns: 2, sizes: [[10, 10]] as [number, number][] },
    ];
    expect([...priorsOf(grids, { width: 32, height: 16 })]).toEqual([
      ...[8, 8, 20, 30],
      ...[24, 8, 20, 30],
      ...[8, 8, 10, 10],
      ...[24, 8, 10, 10],
    ]);
  });
});
