import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { type MessageRecord, readRecords, recordHead } from '../../broker/message-records.ts';
import { MessageStore } from '../../broker/message-store.ts';
import { smallDisk } from '../support/small-disk.ts';

// Lost if these fail: frames that were acknowledged to cameras are gone after a crash of the broker, or fill its disk.

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), 'tessera-frames-'));
  folders.push(made);
  return join(made, 'frames');
}

const frame = (number: number, bytes = 10, topic = 'tessera/input/front'): MessageRecord => ({
  number,
  time: 1_000 + number,
  messageId: number % 65_536,
  topic,
  payload: Buffer.alloc(bytes, number),
});

function open(at: string, bytes = 1e6) {
  const faults: string[] = [];
  const { store, found } = MessageStore.open(at, bytes, (text) => faults.push(text));
  return { store, found, faults, open: found.filter(({ state }) => state !== 'done') };
}

const numbers = (frames: readonly { readonly number: number }[]): number[] => frames.map(({ number }) => number);

describe('records', () => {
  it('are read as they were written, however many and of whatever bytes', () => {
    const frames = fc.array(
      fc.record({
        number: fc.nat({ max: 2 ** 48 - 1 }),
        time: fc.nat({ max: 2 ** 48 - 1 }),
        messageId: fc.nat({ max: 65_535 }),
        topic: fc.string({ unit: 'grapheme', maxLength: 50 }),
        payload: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      }),
    );
    fc.assert(
      fc.property(frames, fc.nat({ max: 60 }), (all, cut) => {
        const bytes = Buffer.concat(all.flatMap((one) => [recordHead(one), one.payload]));
        const { records, torn } = readRecords(bytes);
        expect(torn).toBe(0);
        expect(records).toMatchObject(all);
        // Of a truncated file the complete records are read, and nothing else.
        const short = bytes.subarray(0, Math.max(0, bytes.length - cut));
        const whole = records.filter(({ offset, length }) => offset + length <= short.length);
        const last = whole.at(-1);
        const end = last === undefined ? 0 : last.offset + last.length;
        expect(readRecords(short)).toEqual({ records: whole, torn: short.length - end });
      }),
    );
  });

  it('without a payload are complete records, and those after them are found', () => {
    // As the broker's parser makes it: bytes that have no address, of which Node's CRC-32 is always 0.
    const empty = { ...frame(1), payload: Buffer.from(new ArrayBuffer(0)) };
    const bytes = Buffer.concat([empty, frame(2)].flatMap((one) => [recordHead(one), one.payload]));
    expect(numbers(readRecords(bytes).records)).toEqual([1, 2]);
    expect(readRecords(bytes).torn).toBe(0);
  });

  it('that were changed are not read as records', () => {
    const bytes = Buffer.concat([recordHead(frame(1)), frame(1).payload]);
    for (let at = 0; at < bytes.length; at++) {
      const wrong = Buffer.from(bytes);
      wrong[at]! ^= 0x55;
      expect(readRecords(wrong).records, `byte ${at}`).toEqual([]);
    }
  });

  it('after a truncated one are not searched for: a payload may contain any bytes', () => {
    const inner = Buffer.concat([recordHead(frame(7)), frame(7).payload]);
    const outer = { ...frame(1), payload: Buffer.concat([inner, Buffer.alloc(100)]) };
    const bytes = Buffer.concat([recordHead(outer), outer.payload]).subarray(0, -1);
    expect(readRecords(bytes).records).toEqual([]);
  });
});

describe('a store', () => {
  it('has after a crash the messages that were put and are not done, and knows which were sent', () => {
    const at = folder();
    const first = open(at);
    for (let n = 1; n <= 5; n++) expect(first.store.put(frame(n))).toBe(true);
    first.store.sent(2);
    first.store.sent(3);
    first.store.done(3);
    first.store.done(5);
    // Not closed: it was killed.
    const second = open(at);
    expect(second.found).toMatchObject([
      { ...frame(1), state: 'stored' },
      { ...frame(2), state: 'sent' },
      { number: 3, state: 'done' },
      { ...frame(4), state: 'stored' },
      { number: 5, state: 'done' },
    ]);
    // Recovered messages can be marked, and the store continues from there.
    second.store.done(1);
    second.store.put(frame(6));
    expect(numbers(open(at).open)).toEqual([2, 4, 6]);
  });

  it('leaves no folder behind when no message is open, and all files otherwise', () => {
    const at = folder();
    const { store } = open(at);
    store.put(frame(1));
    store.close();
    const again = open(at);
    expect(numbers(again.open)).toEqual([1]);
    again.store.done(1);
    again.store.close();
    expect(readdirSync(join(at, '..'))).toEqual([]);
  });

  it('uses at most twice the bound and a few files of the disk, in whatever order frames are done', () => {
    const at = folder();
    const { store } = open(at, 2e6);
    // One of each hundred stays open for ever, as of a camera that sends rarely.
    const kept: number[] = [];
    for (let n = 1; n <= 2000; n++) {
      store.put(frame(n, 20_000));
      if (n % 100 === 0) kept.push(n);
      if (n > 20 && (n - 20) % 100 !== 0) store.done(n - 20);
      expect(store.fileBytes).toBeLessThan(2 * 2e6 + 4 * 2 ** 20);
    }
    for (let n = 1981; n < 2000; n++) store.done(n);
    const { open: left, faults } = open(at, 2e6);
    expect(numbers(left)).toEqual(kept);
    expect(left.map(({ payload }) => payload)).toEqual(kept.map((n) => frame(n, 20_000).payload));
    expect(faults).toEqual([]);
  });

  it('reads what a power cut left, reports what is truncated, and appends nothing to such a file', () => {
    const at = folder();
    const { store } = open(at);
    for (let n = 1; n <= 3; n++) store.put(frame(n, 1000));
    const file = join(at, 'kept-1');
    truncateSync(file, readFileSync(file).length - 1);
    const second = open(at);
    expect(numbers(second.open)).toEqual([1, 2]);
    expect(second.faults.join()).toMatch(/ends in \d+ bytes that are no whole frame/);
    second.store.put(frame(4));
    expect(numbers(open(at).open)).toEqual([1, 2, 4]);
    // Files of zeros, empty files, files of random bytes.
    writeFileSync(join(at, 'kept-50'), Buffer.alloc(5000));
    writeFileSync(join(at, 'kept-51'), '');
    appendFileSync(join(at, 'kept-52'), 'anything');
    writeFileSync(join(at, 'other'), 'not ours');
    const third = open(at);
    expect(numbers(third.open)).toEqual([1, 2, 4]);
    expect(third.store.put(frame(60))).toBe(true);
  });

  it('recognises a duplicate after a crash too, though the frame is done', () => {
    const at = folder();
    const { store } = open(at);
    store.put(frame(1));
    store.done(1);
    const { found } = open(at);
    expect(found).toMatchObject([{ number: 1, messageId: 1, state: 'done' }]);
  });

  it('refuses a folder that cannot be made, with a hint', () => {
    const at = folder();
    writeFileSync(join(at, '..', 'file'), '');
    expect(() => open(join(at, '..', 'file', 'frames'))).toThrowError(
      expect.objectContaining({ code: 'TESSERA_CONFIG', hint: expect.stringContaining('STATE_DIRECTORY') }),
    );
  });
});

describe('on a full disk', () => {
  it('refuses messages without room for them, marks those that it has, and accepts messages again when there is room', async ({
    skip,
  }) => {
    const disk = await smallDisk('4m');
    if (disk === undefined) return skip('needs root and a tmpfs on Linux');
    onTestFinished(disk.remove);
    const at = join(disk.folder, 'frames');
    const { store, faults } = open(at, 64e6);
    const had: number[] = [];
    for (let n = 1; n <= 100; n++) if (store.put(frame(n, 100_000))) had.push(n);
    expect(had.length).toBeLessThan(100);
    expect(had.length).toBeGreaterThan(10);
    expect(faults.join()).toContain('not acknowledged');
    const empty = disk.fill();
    expect(store.put(frame(200, 5000))).toBe(false);
    store.sent(had[0]!);
    for (const n of had.slice(1)) store.done(n);
    const second = open(at);
    expect(second.open).toMatchObject([{ number: had[0], state: 'sent' }]);
    second.store.close();
    empty();
    store.done(had[0]!);
    expect(store.put(frame(201, 100_000))).toBe(true);
    expect(numbers(open(at).open)).toEqual([201]);
  });
});
