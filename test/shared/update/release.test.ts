import { describe, expect, it } from 'vitest';
import { type Release, readRelease, releaseText } from '../../../shared/update/release.ts';

const release: Release = {
  version: '0.2.0',
  platform: 'linux-arm64',
  minimum: '0.1.0',
  files: new Map([
    ['tessera-0.2.0-linux-arm64.tar.zst', 'a'.repeat(64)],
    ['tessera-0.2.0-linux-arm64.deb', 'b'.repeat(64)],
  ]),
};

describe('the text of a release', () => {
  it('is read as it was written', () => {
    expect(readRelease(releaseText(release))).toEqual(release);
  });

  it.each([
    ['no first line', releaseText(release).split('\n').slice(1).join('\n'), /first line/],
    ['a version older than its own minimum', releaseText({ ...release, minimum: '0.3.0' }), /older than its minimum/],
    ['no archive of that version', releaseText({ ...release, version: '0.2.1' }), /no archive/],
    ['another line', `${releaseText(release)}ha\n`, /no SHA-256/],
    ['no end', releaseText(release).trimEnd(), /no archive/],
    ['too much', releaseText(release).padEnd(3000), /more than/],
  ])('with %s is refused', (_, text, why) => {
    expect(readRelease(text)).toMatch(why);
  });
});
