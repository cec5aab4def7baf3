import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classColour, escapeXml, layOver, predictionsSvg } from '../../../shared/model/drawing.ts';
import { IDENTITY_MAPPING } from '../../../shared/model/picture-placement.ts';

describe('predictionsSvg', () => {
  it('draws boxes where they are in the shown picture, the best on top', () => {
    const svg = predictionsSvg({ width: 100, height: 50 }, 0.5, [
      { label: 'cat', score: 0.9, box: [20, 40, 60, 80] },
      { label: 'dog', score: 0.6, box: [0, 0, 10, 10] },
    ]);
    expect(svg).toContain('<rect x="10" y="20" width="20" height="20" fill="none"');
    expect(svg.indexOf('dog 0.60')).toBeLessThan(svg.indexOf('cat 0.90'));
  });

  it('writes labels without boxes one below the other', () => {
    const svg = predictionsSvg({ width: 100, height: 100 }, 1, [
      { label: 'cup', score: 0.9 },
      { label: 'mug', score: 0.1 },
    ]);
    expect(svg).toMatch(/y="0"[\s\S]*cup 0\.90[\s\S]*y="13"[\s\S]*mug 0\.10/);
  });

  it('a label never becomes markup, whatever it holds', () => {
    expect(escapeXml(`<a b="c">&'\u0000\ud800`)).toBe('&lt;a b=&quot;c&quot;&gt;&amp;&#39;');
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (label) => {
        const svg = predictionsSvg({ width: 40, height: 40 }, 1, [{ label, score: 0.5, box: [1, 1, 9, 9] }]);
        expect(svg.match(/</g)).toHaveLength(6);
      }),
    );
  });
});

describe('layOver', () => {
  it("colours cells inside the network's crop, except those of the plain class", () => {
    const picture = { width: 4, height: 2, rgb: new Uint8Array(24).fill(100) };
    const grid = { rows: 1, columns: 2, classes: [0, 3] };
    // The network's input is the middle: columns 1 and 2.
    const mapping = { ...IDENTITY_MAPPING, offsetX: 1 };
    const out = layOver(picture, grid, { input: { width: 2, height: 2 }, mapping, scale: 1, plain: 0 });
    const pixel = (x: number) => [...out.subarray(3 * x, 3 * x + 3)];
    const blended = classColour(3).map((value) => (100 + value) >> 1);
    expect([0, 1, 2, 3].map(pixel)).toEqual([[100, 100, 100], [100, 100, 100], blended, [100, 100, 100]]);
  });
});
