import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { judge, neverWaits } from '../../broker/slow-readers.ts';

// Lost if these fail: one viewer that does not read stops every node, or fills the broker's memory.

describe('judge', () => {
  it.each([
    [0, true, 'forward'],
    [1000, true, 'forward'],
    [1001, true, 'drop'],
    [1001, false, 'forward'],
    [2000, false, 'forward'],
    [2001, false, 'close'],
  ])('%i bytes unread of 1000, bulk %s: %s', (unread, bulk, verdict) => {
    expect(judge(unread, bulk, 1000)).toBe(verdict);
  });
});

describe('neverWaits', () => {
  it('hides that a stream is full, but not how many bytes it buffers', () => {
    const stuck = new Writable({ highWaterMark: 10, write() {} });
    neverWaits(stuck as Parameters<typeof neverWaits>[0]);
    expect(stuck.write(Buffer.alloc(100))).toBe(true);
    expect(stuck.write(Buffer.alloc(100))).toBe(true);
    expect(stuck.writableLength).toBe(200);
  });
});
