import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placePicture } from '../../../shared/model/picture-placement.ts';

const side = fc.integer({ min: 1, max: 5000 });
const size = fc.record({ width: side, height: side });
const input = fc.record({
  width: fc.integer({ min: 1, max: 700 }),
  height: fc.integer({ min: 1, max: 700 }),
  resize: fc.constantFrom('crop' as const, 'stretch' as const, 'letterbox' as const),
  crop: fc.double({ min: 0.01, max: 1, noNaN: true }),
});

describe('placePicture', () => {
  it('cuts the centre square of 0.875 x the short side', () => {
    const { cut, scaled, mapping } = placePicture(
      { width: 640, height: 480 },
      { width: 224, height: 224, resize: 'crop', crop: 0.875 },
    );
    expect(cut).toEqual({ left: 110, top: 30, width: 420, height: 420 });
    expect(scaled).toEqual({ width: 224, height: 224 });
    expect(mapping).toEqual({ scaleX: 1.875, scaleY: 1.875, offsetX: 110, offsetY: 30 });
  });

  it('keeps the aspect ratio of a letterboxed picture and centres it', () => {
    const { scaled, pad, mapping } = placePicture(
      { width: 640, height: 480 },
      { width: 320, height: 320, resize: 'letterbox', crop: 1 },
    );
    expect(scaled).toEqual({ width: 320, height: 240 });
    expect(pad).toEqual({ left: 0, top: 40 });
    expect(mapping).toEqual({ scaleX: 2, scaleY: 2, offsetX: 0, offsetY: -80 });
  });

  it('stretches each axis by itself', () => {
    const { cut, mapping } = placePicture(
      { width: 640, height: 480 },
      { width: 320, height: 160, resize: 'stretch', crop: 0.5 },
    );
    expect(cut).toEqual({ left: 0, top: 0, width: 640, height: 480 });
    expect(mapping).toEqual({ scaleX: 2, scaleY: 3, offsetX: 0, offsetY: 0 });
  });

  it('stays inside the source and the input, whatever the sizes', () => {
    fc.assert(
      fc.property(size, input, (source, wanted) => {
        const { cut, scaled, pad } = placePicture(source, wanted);
        expect(cut.left >= 0 && cut.top >= 0 && cut.width >= 1 && cut.height >= 1).toBe(true);
        expect(cut.left + cut.width <= source.width && cut.top + cut.height <= source.height).toBe(true);
        expect(pad.left >= 0 && pad.top >= 0 && scaled.width >= 1 && scaled.height >= 1).toBe(true);
        expect(pad.left + scaled.width <= wanted.width && pad.top + scaled.height <= wanted.height).toBe(true);
      }),
    );
  });

  it('maps the corners of the scaled picture to the corners of the crop', () => {
    fc.assert(
      fc.property(size, input, (source, wanted) => {
        const { cut, scaled, pad, mapping } = placePicture(source, wanted);
        expect(pad.left * mapping.scaleX + mapping.offsetX).toBeCloseTo(cut.left, 6);
        expect((pad.left + scaled.width) * mapping.scaleX + mapping.offsetX).toBeCloseTo(cut.left + cut.width, 6);
        expect(pad.top * mapping.scaleY + mapping.offsetY).toBeCloseTo(cut.top, 6);
        expect((pad.top + scaled.height) * mapping.scaleY + mapping.offsetY).toBeCloseTo(cut.top + cut.height, 6);
      }),
    );
  });
});
