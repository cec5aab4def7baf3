import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AcceptedFrame, journalText, parseJournal } from '../../../central/journal/format.ts';
import { FrameTracker } from '../../../central/journal/frame-tracker.ts';
import { Journal } from '../../../central/journal/journal.ts';
import { lockJournal } from '../../../central/journal/lock.ts';
import { delivered } from '../../../central/journal/recovery.ts';
import { silentLog } from '../../../shared/ports.ts';
import { acceptedFrame } from '../../support/accepted-frame.ts';

/** Lost in a crash if these fail: accepted frames that never end. */

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-journal-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
const newFile = (): string => join(folder, String(files++));

const accepted = (frame: string, model = 'm'): AcceptedFrame => ({ ...acceptedFrame(frame), model });

const openFrames = (journal: Journal): string[] =>
  journal.before.filter(({ ended }) => !ended).map(({ frame }) => frame);

describe('journal', () => {
  test('frames that were open when the process died are found by the next one, complete', () => {
    const file = newFile();
    const journal = new Journal(file, silentLog);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => journal.accept(accepted(name))) as [number, number, number];
    journal.opened(a, '7-1');
    journal.publishing(a, '{"id":"7-1"}');
    journal.ended(a);
    journal.opened(b, '7-2');
    journal.publishing(b, '{"id":"7-2","message":"two words"}');
    const next = new Journal(file, silentLog);
    expect(openFrames(next)).toEqual(['b', 'c']);
    expect(next.before.find(({ n }) => n === b)).toMatchObject({
      ...accepted('b'),
      i_id: '7-2',
      publishOrder: 1,
      result: '{"id":"7-2","message":"two words"}',
    });
    expect(next.before.find(({ n }) => n === c)).toMatchObject({ i_id: undefined, publishOrder: undefined });
    next.ended(b);
    next.ended(c);
    expect(next.accept(accepted('d'))).toBeGreaterThan(c);
    expect(openFrames(new Journal(file, silentLog))).toEqual(['d']);
  });

  test('a torn last line or garbage loses no other line', () => {
    const file = newFile();
    const journal = new Journal(file, silentLog);
    journal.accept(accepted('a'));
    journal.accept(accepted('b'));
    appendFileSync(file, 'garbage\n- x\n- 99\n+ 1 2\n\u0000\n= 0\n- 0');
    expect(openFrames(new Journal(file, silentLog))).toEqual(['a', 'b']);
  });

  test('any file content can be read', () => {
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void parseJournal(text)));
    const line = fc.oneof(
      fc.constantFrom(
        '+ 1 c f m',
        `+ 1 c f m ${'0'.repeat(64)} classify 1 1`,
        '= 1 1-1',
        '~ 1',
        '~ 1 {"id": "1-1"}',
        '- 1',
        '+',
        '- -1',
      ),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const entries = parseJournal(lines.map((text) => `${text}\n`).join(''));
        expect(parseJournal(journalText(entries))).toEqual(
          entries.map((entry) => ({
            ...entry,
            publishOrder: entry.publishOrder === undefined ? undefined : expect.any(Number),
          })),
        );
      }),
      { examples: [[[`+ 1 c f m ${'0'.repeat(64)} classify 1 1`, '- 1', '~ 1 {"id": "1-1"}']]] },
    );
  });

  test('its length depends on the number of open frames, not on its age', () => {
    const file = newFile();
    const journal = new Journal(file, silentLog);
    const kept = journal.accept(accepted('kept'));
    for (let i = 0; i < 40_000; i++) {
      const n = journal.accept(accepted(`f${i}`), `1-${i}`);
      journal.publishing(n, '{}');
      journal.ended(n);
    }
    expect(readFileSync(file, 'utf8').split('\n').length).toBeLessThan(25_000);
    expect(journal.open).toBe(1);
    const next = new Journal(file, silentLog);
    expect(next.before.filter(({ ended }) => !ended).map(({ n }) => n)).toEqual([kept]);
    // The last ended frames are remembered, so that a redelivered one is not a new frame.
    expect(next.before.map(({ frame }) => frame)).toContain('f39999');
  });

  test('a frame that ended is remembered over several runs and thousands of other frames', () => {
    const file = newFile();
    for (const run of [0, 1, 2, 3]) {
      const journal = new Journal(file, silentLog);
      for (let i = 0; i < 1000; i++) journal.ended(journal.accept(accepted(`f${run}-${i}`), `${run}-${i}`));
      journal.close();
    }
    expect(new Journal(file, silentLog).before.map(({ frame }) => frame)).toContain('f0-0');
  });

  test('after random operations the file has the same frames as the memory', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(9)), { maxLength: 60 }), (moves) => {
        const file = newFile();
        let journal = new Journal(file, silentLog);
        const open = new Map<number, string>();
        for (const [what, which] of moves) {
          const n = [...open.keys()][which % Math.max(1, open.size)];
          if (what <= 1) {
            const name = `f${open.size}-${which}`;
            open.set(journal.accept(accepted(name)), name);
          } else if (what === 4) journal = new Journal(file, silentLog);
          else if (n !== undefined && what === 2) journal.publishing(n, '{}');
          else if (n !== undefined) {
            journal.ended(n);
            open.delete(n);
          }
        }
        expect(openFrames(new Journal(file, silentLog)).sort()).toEqual([...open.values()].sort());
      }),
      { numRuns: 50 },
    );
  });
});

describe('tracker', () => {
  /** Every call as text. */
  function recorded(): { tracker: FrameTracker; calls: string[] } {
    const calls: string[] = [];
    let next = 0;
    const tracker = new FrameTracker({
      accept: ({ frame, model }, i_id) => {
        calls.push(`accept ${frame} ${model} ${i_id ?? '-'}`);
        return next++;
      },
      opened: (n, i_id) => calls.push(`opened ${n} ${i_id}`),
      publishing: (n, result) => calls.push(`publishing ${n} ${result}`),
      ended: (n) => calls.push(`ended ${n}`),
      whenWritten: () => undefined,
    });
    return { tracker, calls };
  }

  test('a frame for three models: opened at once, later, and never', () => {
    const { tracker, calls } = recorded();
    tracker.offer('r', [accepted('f', 'a'), accepted('f', 'b'), accepted('f', 'c')]);
    tracker.opened('r', 'a', '1-0');
    tracker.skipped('r', 'c');
    tracker.settle('r');
    expect(calls).toEqual(['accept f a 1-0', 'accept f b -']);
    tracker.opened('r', 'b', '1-1');
    tracker.publishing('1-0', 'A')();
    const acknowledged = tracker.publishing('1-1', 'B');
    expect(calls.slice(2)).toEqual(['opened 1 1-1', 'publishing 0 A', 'ended 0', 'publishing 1 B']);
    acknowledged();
    expect(calls.slice(6)).toEqual(['ended 1']);
  });

  test('a skipped frame is never written; one that is displaced from the queue has ended', () => {
    const { tracker, calls } = recorded();
    tracker.offer('r', [accepted('f')]);
    tracker.skipped('r', null);
    tracker.settle('r');
    expect(calls).toEqual([]);
    tracker.offer('s', [accepted('g')]);
    tracker.settle('s');
    tracker.skipped('s', 'm');
    tracker.skipped('s', 'm');
    expect(calls).toEqual(['accept g m -', 'ended 0']);
  });

  test('a frame that is queued when central ends has one result; one that was never accepted has none', () => {
    const { tracker, calls } = recorded();
    tracker.offer('r', [accepted('f')]);
    tracker.settle('r');
    const leaving = tracker.unserved('r', 'm', ({ n, frame }) => `end of ${n} ${frame.frame}`);
    expect(leaving?.result).toBe('end of 0 f');
    expect(calls.slice(1)).toEqual(['publishing 0 end of 0 f']);
    leaving?.acknowledged();
    tracker.skipped('r', 'm');
    expect(calls.slice(2)).toEqual(['ended 0']);
    expect(tracker.unserved('r', 'm', () => expect.unreachable())).toBeUndefined();
  });
});

describe('after a crash', () => {
  const entry = (n: number, publishOrder: number | undefined, model = 'm') => ({
    n,
    ...accepted(`f${n}`, model),
    i_id: `1-${n}`,
    publishOrder,
    result: publishOrder === undefined ? undefined : `{"id":"1-${n}"}`,
    ended: false,
  });

  test('results published before a retained one were delivered too', () => {
    const entries = [entry(0, 0), entry(1, 3), entry(2, 1, 'other'), entry(3, 2), entry(4, undefined)];
    expect([...delivered(entries, new Map([['front/m', '1-3']]))].sort()).toEqual([0, 2, 3]);
    expect([...delivered(entries, new Map([['front/m', '0-9']]))]).toEqual([]);
    expect([...delivered(entries, new Map([['front/other', '1-2']]))].sort()).toEqual([0, 2]);
    expect([...delivered(entries, new Map())]).toEqual([]);
  });
});

describe('journal lock', () => {
  test('each process of a machine has a journal of its own; a new process takes the first free one', async () => {
    const url = 'mqtt://user:secret@127.0.0.1:1883';
    const first = await lockJournal(folder, url, 'tessera');
    const second = await lockJournal(folder, url, 'tessera');
    expect(second.file).not.toBe(first.file);
    expect(first.file).not.toContain('secret');
    expect((await lockJournal(folder, 'mqtt://127.0.0.1:1884', 'tessera')).file).not.toContain(first.file.slice(0, -2));
    first.release();
    expect((await lockJournal(folder, 'mqtt://127.0.0.1:1883', 'tessera')).file).toBe(first.file);
  });

  test('the lock of a dead process does not count', async () => {
    const url = 'mqtt://127.0.0.1:1885';
    const { file } = await lockJournal(folder, url, 'tessera');
    const lock = `${file}.lock`;
    const [own] = readdirSync(lock);
    // A process id in use, with another start time: it was assigned again.
    renameSync(join(lock, own!), join(lock, `${process.pid}-1`));
    expect((await lockJournal(folder, url, 'tessera')).file).toBe(file);
    // As an earlier version wrote it.
    rmSync(lock, { recursive: true });
    writeFileSync(lock, `${process.pid} 1`);
    expect((await lockJournal(folder, url, 'tessera')).file).toBe(file);
    // Killed while it prepared a lock, or between removing a dead process's lock and taking it.
    rmSync(lock, { recursive: true });
    mkdirSync(lock);
    mkdirSync(`${lock}.999999999-1`);
    expect((await lockJournal(folder, url, 'tessera')).file).toBe(file);
    expect(readdirSync(join(folder, 'journal')).filter((name) => name.includes('999999999'))).toEqual([]);
  });
});
