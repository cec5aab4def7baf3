import { describe, expect, it } from 'vitest';
import { type Audience, awaited, whyUnheard } from '../../cli/audience.ts';

const heard: Audience = { central: true, models: ['scenes', 'fastestdet'], cameras: new Map([['front', true]]) };
const all = { camera: undefined, model: undefined };

describe('what a client waits for while it sees no result', () => {
  it.each([
    [{ ...heard, central: false }, all, /no central is online/],
    [{ ...heard, models: [] }, all, /serves no model yet/],
    [heard, { ...all, model: 'vgg16' }, /does not serve model "vgg16"; it serves scenes, fastestdet/],
    [{ ...heard, cameras: new Map() }, all, /no camera has sent a frame yet; `tessera publish front photo.jpg`/],
    [{ ...heard, cameras: new Map([['front', false]]) }, all, /no camera sends \(front did\)/],
    [heard, { ...all, camera: 'back' }, /camera back has sent no frame yet; `tessera publish back photo.jpg`/],
    [{ ...heard, cameras: new Map([['back', false]]) }, { ...all, camera: 'back' }, /camera back has stopped sending/],
    [heard, all, /^waiting for the next result$/],
    // Rights that show nothing: no claim is made.
    [{ central: undefined, models: undefined, cameras: undefined }, all, /^waiting for the next result$/],
  ])('is named (%#)', (audience, asked, text) => {
    expect(awaited(audience, asked)).toMatch(text);
  });
});

it('frames count as unheard only where no central is known to be online', () => {
  expect(whyUnheard(heard)).toBeUndefined();
  expect(whyUnheard({ ...heard, central: undefined })).toBeUndefined();
  expect(whyUnheard({ ...heard, central: false })).toMatch(/tessera up/);
});
