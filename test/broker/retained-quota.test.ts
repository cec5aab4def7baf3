import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RetainedQuota } from '../../broker/retained-quota.ts';

const LIMITS = { topics: 40, bytes: 4000 };

describe('RetainedQuota', () => {
  it('never counts more than the limits, nor more than a quarter for one owner, whatever is published', () => {
    const one = fc.record({ owner: fc.nat(9), topic: fc.nat(80), bytes: fc.nat(300) });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 300 }), (messages) => {
        const retained = new RetainedQuota(LIMITS);
        const kept = new Map<string, { owner: string; bytes: number }>();
        for (const { owner, topic, bytes } of messages) {
          const [name, path] = [`o${owner}`, `t${topic}`];
          if (!retained.keep(name, path, bytes)) continue;
          if (bytes === 0) kept.delete(path);
          else kept.set(path, { owner: name, bytes });
          const all = [...kept.values()];
          expect(retained.held).toEqual({ topics: all.length, bytes: all.reduce((sum, { bytes }) => sum + bytes, 0) });
          expect(all.length).toBeLessThanOrEqual(LIMITS.topics);
          expect(all.filter((each) => each.owner === name).length).toBeLessThanOrEqual(LIMITS.topics / 4 + 9);
        }
      }),
    );
  });

  it('leaves room for others when one owner is at its limit, and accepts a replacement of a message', () => {
    const retained = new RetainedQuota(LIMITS);
    for (let k = 0; k < 20; k++) expect(retained.keep('bad', `x${k}`, 10)).toBe(k < 10);
    expect(retained.keep('bad', 'x3', 10)).toBe(true);
    expect(retained.keep('bad', 'x3', 2000)).toBe(false);
    expect(retained.keep('good', 'y', 10)).toBe(true);
    expect(retained.keep('bad', 'x3', 0)).toBe(true);
    expect(retained.keep('bad', 'x19', 10)).toBe(true);
  });
});
