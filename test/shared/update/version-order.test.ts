import { describe, expect, it } from 'vitest';
import { compareVersions, isVersion } from '../../../shared/update/version-order.ts';

describe('versions', () => {
  it('have the order of semver 2.0.0, section 11', () => {
    const ordered = [
      ...['0.9.0', '0.10.0', '1.0.0-alpha', '1.0.0-alpha.1', '1.0.0-alpha.beta', '1.0.0-beta', '1.0.0-beta.2'],
      ...['1.0.0-beta.11', '1.0.0-rc.1', '1.0.0', '1.0.1', '2.0.0'],
    ];
    for (const [i, a] of ordered.entries())
      for (const [k, b] of ordered.entries())
        expect(Math.sign(compareVersions(a, b)), `${a} ${b}`).toBe(Math.sign(i - k));
  });

  it.each(['', '1.2', 'v1.2.3', '1.2.3/..', '1.2.3-', '1.2.3 '])('%j is none', (text) => {
    expect(isVersion(text)).toBe(false);
  });
});
