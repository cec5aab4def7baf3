import { describe, expect, it } from 'vitest';
import { PartRate } from '../../../shared/node/part-rate.ts';

describe('PartRate', () => {
  it('is 0 before the first tile, so that a guess is not taken for a measurement', () => {
    expect(new PartRate().perSecond).toBe(0);
  });

  it('counts compute time only, or else an idle node looks slow and never gets work again', () => {
    const rate = new PartRate();
    for (let tile = 0; tile < 3; tile++) rate.add(20);
    expect(rate.perSecond).toBeCloseTo(50, 6);
  });

  it('follows a node that became four times slower within thirty tiles', () => {
    const rate = new PartRate();
    for (let tile = 0; tile < 100; tile++) rate.add(10);
    for (let tile = 0; tile < 30; tile++) rate.add(40);
    expect(rate.perSecond).toBeGreaterThan(25);
    expect(rate.perSecond).toBeLessThan(27);
  });

  it('stays finite for tiles of no measurable time and ignores invalid times', () => {
    const rate = new PartRate();
    rate.add(0);
    rate.add(Number.NaN);
    rate.add(-1);
    expect(Number.isFinite(rate.perSecond)).toBe(true);
  });
});
