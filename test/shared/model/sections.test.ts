import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sectionCount, sectionsOf } from '../../../shared/model/sections.ts';

describe('sections of a picture', () => {
  it('overlap by the share of their side that was asked for, and end with the picture', () => {
    const layout = { rows: 1, columns: 3, overlap: 0.2, whole: false };
    // Three pieces of w pixels that share w / 5 twice: 3 w - 2 w / 5 = 1300.
    expect(sectionsOf(layout, { width: 1300, height: 700 })).toEqual([
      { left: 0, top: 0, width: 500, height: 700 },
      { left: 400, top: 0, width: 500, height: 700 },
      { left: 800, top: 0, width: 500, height: 700 },
    ]);
  });

  it('have the whole picture as the last one', () => {
    const layout = { rows: 2, columns: 1, overlap: 0, whole: true };
    expect(sectionsOf(layout, { width: 10, height: 9 })).toEqual([
      { left: 0, top: 0, width: 10, height: 5 },
      { left: 0, top: 4, width: 10, height: 5 },
      { left: 0, top: 0, width: 10, height: 9 },
    ]);
  });

  it('cover every pixel of any picture, and lie inside it', () => {
    const side = fc.integer({ min: 1, max: 3000 });
    const count = fc.integer({ min: 1, max: 8 });
    const overlap = fc.double({ min: 0, max: 0.5, noNaN: true });
    fc.assert(
      fc.property(side, side, count, count, overlap, fc.boolean(), (width, height, rows, columns, overlap, whole) => {
        const layout = { rows, columns, overlap, whole };
        const sections = sectionsOf(layout, { width, height });
        expect(sections.length).toBe(sectionCount(layout));
        for (const { left, top, width: w, height: h } of sections)
          expect(left >= 0 && top >= 0 && w >= 1 && h >= 1 && left + w <= width && top + h <= height).toBe(true);
        const across = sections.slice(0, columns);
        across.forEach(({ left }, i) => {
          expect(left).toBeLessThanOrEqual(i === 0 ? 0 : across[i - 1]!.left + across[i - 1]!.width);
        });
        expect(across.at(-1)!.left + across.at(-1)!.width).toBe(width);
        const last = sections[rows * columns - 1]!;
        expect(last.top + last.height).toBe(height);
      }),
    );
  });
});
