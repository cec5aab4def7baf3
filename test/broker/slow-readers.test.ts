import { describe, expect, it } from 'vitest';
import { SlowReaders } from '../../broker/slow-readers.ts';

// Lost if these fail: one frozen viewer stops every node, or a burst to a healthy node is thrown away.

const LIMITS = { bytes: 1000, messages: 10 };
const reader = (writableLength: number, writableNeedDrain = writableLength > 0) => ({
  writableLength,
  writableNeedDrain,
});

describe('SlowReaders', () => {
  it('never drops for a reader that keeps up', () => {
    const slow = new SlowReaders(LIMITS);
    const healthy = reader(0);
    for (let k = 0; k < 1000; k++) expect(slow.judge(healthy, true, 0)).toBe('forward');
  });

  it('bounds the messages that wait at one reader, bulk first (invariant 1)', () => {
    const slow = new SlowReaders(LIMITS);
    const stuck = reader(1);
    const forwarded = (bulk: boolean) => {
      let count = 0;
      while (slow.judge(stuck, bulk, 0) === 'forward') count += 1;
      return count;
    };
    expect(forwarded(true)).toBe(LIMITS.messages);
    expect(forwarded(false)).toBe(LIMITS.messages);
    expect(forwarded(true)).toBe(0);
  });

  it('bounds the bytes (invariant 2)', () => {
    const slow = new SlowReaders(LIMITS);
    expect(slow.judge(reader(1001), true, 0)).toBe('drop');
    expect(slow.judge(reader(1001), true, 1)).toBe('drop');
    expect(slow.judge(reader(1001), false, 0)).toBe('forward');
    expect(slow.judge(reader(2001), false, 0)).toBe('drop');
  });

  it('closes rather than losing an acknowledged status in silence (invariant 3)', () => {
    const slow = new SlowReaders(LIMITS);
    expect(slow.judge(reader(4000), false, 1)).toBe('forward');
    expect(slow.judge(reader(4001), false, 1)).toBe('close');
  });

  it('starts anew once the reader has drained, and judges each reader for itself', () => {
    const slow = new SlowReaders(LIMITS);
    const one = reader(1);
    const other = reader(1);
    for (let k = 0; k < 20; k++) slow.judge(one, true, 0);
    expect(slow.judge(other, true, 0)).toBe('forward');
    one.writableNeedDrain = false;
    expect(slow.judge(one, true, 0)).toBe('forward');
    one.writableNeedDrain = true;
    expect(slow.judge(one, true, 0)).toBe('forward');
  });
});
