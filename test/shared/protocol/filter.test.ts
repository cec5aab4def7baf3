import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coversFilter, isFilter, matchesFilter } from '../../../shared/protocol/filter.ts';

// Lost if these fail: messages reach the wrong handler, or a client reads topics that its role forbids.

const level = fc.constantFrom('a', 'b', 'tessera', '');
const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'));

describe('matchesFilter', () => {
  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/c', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+/c', 'a/b/c', true],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['#', 'a/b', true],
    ['#', '$SYS/uptime', false],
    ['+/uptime', '$SYS/uptime', false],
    ['$SYS/#', '$SYS/uptime', true],
    ['a', 'A', false],
  ])('%s and %s: %s (MQTT 3.1.1 section 4.7)', (wanted, name, matches) => {
    expect(matchesFilter(wanted, name)).toBe(matches);
  });
});

describe('coversFilter', () => {
  it('never grants a filter that is wider than the right', () => {
    fc.assert(
      fc.property(filter, filter, topic, (outer, inner, name) => {
        if (coversFilter(outer, inner) && matchesFilter(inner, name)) expect(matchesFilter(outer, name)).toBe(true);
      }),
    );
  });

  it('agrees with matchesFilter for topics', () => {
    fc.assert(
      fc.property(filter, topic, (outer, name) => {
        expect(coversFilter(outer, name)).toBe(matchesFilter(outer, name));
      }),
    );
  });
});

describe('isFilter', () => {
  it.each([
    ['a/+/b/#', true],
    ['', false],
    ['a/#/b', false],
    ['a+', false],
    ['a/b#', false],
  ])('%s: %s', (text, valid) => expect(isFilter(text)).toBe(valid));
});
