import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { journalText, parseJournal } from '../../../central/journal/format.ts';
import { Journal } from '../../../central/journal/journal.ts';
import { type Log, silentLog } from '../../../shared/ports.ts';
import { acceptedFrame as accepted } from '../../support/accepted-frame.ts';
import { type SmallDisk, smallDisk } from '../../support/small-disk.ts';

/**
 * Lost if these fail: frames that were answered end a second time with another result, and accepted frames never end.
 */

const resultOf = (frame: string, length: number): string => JSON.stringify({ id: frame, pad: 'x'.repeat(length) });
const entriesOf = (file: string) => new Map(parseJournal(readFileSync(file, 'utf8')).map((e) => [e.frame, e]));

function errorLog(): { log: Log; errors: string[] } {
  const errors: string[] = [];
  return { log: { ...silentLog, error: (text) => errors.push(text) }, errors };
}

describe('on a disk that is full', () => {
  let disk: SmallDisk | undefined;
  beforeAll(async () => {
    disk = await smallDisk('256k');
  });
  afterAll(() => disk?.remove());
  const clear = ({ folder }: SmallDisk): void => {
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
  };

  test('whenever it becomes full and has room again: after a crash the journal has everything that central relied on', (it) => {
    if (disk === undefined) return it.skip('needs root and a tmpfs on Linux');
    const { folder, fill } = disk;
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom('take' as const, 'leave' as const, 'end' as const) },
      fc.constant('fill' as const),
      fc.nat(3),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.nat(9000), (steps, length) => {
        clear(disk!);
        const file = join(folder, 'j');
        const journal = new Journal(file, silentLog);
        let free: (pages?: number) => void = () => {};
        const open: { n: number; frame: string }[] = [];
        const left: { n: number; frame: string }[] = [];
        /** What central has relied on: acknowledged, published, and heard to have arrived. */
        const acted = { taken: new Set<string>(), said: new Map<string, string>(), ended: new Set<string>() };
        let unsure: (() => void)[] = [];
        const once = (act: () => void): void => {
          if (journal.whenWritten() !== undefined) return void unsure.push(act);
          for (const earlier of [...unsure, act]) earlier();
          unsure = [];
        };
        steps.forEach((what, i) => {
          if (what === 'take') {
            const frame = `f${i}`;
            open.push({ n: journal.accept(accepted(frame), `7-${i}`), frame });
            once(() => acted.taken.add(frame));
          } else if (what === 'leave' && open.length > 0) {
            const one = open.shift()!;
            const result = resultOf(one.frame, length);
            journal.publishing(one.n, result);
            left.push(one);
            once(() => acted.said.set(one.frame, result));
          } else if (what === 'end' && left.length > 0 && acted.said.has(left[0]!.frame)) {
            journal.ended(left.shift()!.n);
          } else if (what === 'fill') free = fill();
          else if (typeof what === 'number') free(what);
          const there = entriesOf(file);
          for (const frame of acted.taken) expect(there.has(frame), `${frame} is not there`).toBe(true);
          for (const [frame, result] of acted.said)
            expect([undefined, result], frame).toContain(
              there.get(frame)?.ended ? undefined : there.get(frame)?.result,
            );
          for (const [frame, { ended, result }] of there)
            if (!ended && result === undefined) expect(acted.said.has(frame), frame).toBe(false);
        });
        journal.close();
      }),
      { numRuns: 60 },
    );
  });

  test('accepted frames still end: the file keeps room for that', (it) => {
    if (disk === undefined) return it.skip('needs root and a tmpfs on Linux');
    clear(disk);
    const file = join(disk.folder, 'j');
    const journal = new Journal(file, silentLog);
    const open = ['a', 'b', 'c'].map((name) => journal.accept(accepted(name), `1-${name}`));
    disk.fill();
    for (const n of open) {
      journal.publishing(n, resultOf(String(n), 3000));
      expect(journal.whenWritten()).toBeUndefined();
      journal.ended(n);
    }
    expect([...entriesOf(file).values()].filter(({ ended }) => !ended)).toEqual([]);
    journal.close();
  });

  test('logs that once with file and reason, continues by itself when there is room, and leaks nothing', async (it) => {
    if (disk === undefined) return it.skip('needs root and a tmpfs on Linux');
    clear(disk);
    const file = join(disk.folder, 'j');
    const { log, errors } = errorLog();
    const journal = new Journal(file, log);
    const free = disk.fill();
    const descriptors = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 100; i++) journal.ended(journal.accept(accepted(`f${i}`)));
    journal.accept(accepted('last'));
    expect(errors).toEqual([expect.stringContaining(`the journal ${file} cannot be written: the disk is full`)]);
    expect(readdirSync('/proc/self/fd').length).toBe(descriptors);
    expect(journal.whenWritten()).toBeInstanceOf(Promise);
    free();
    await journal.whenWritten();
    expect([...entriesOf(file).values()].filter(({ ended }) => !ended).map(({ frame }) => frame)).toEqual(['last']);
    journal.close();
    expect(readdirSync('/proc/self/fd').length).toBe(descriptors - 1);
  });

  test('the start is refused with a clear message, and the journal stays as it was', (it) => {
    if (disk === undefined) return it.skip('needs root and a tmpfs on Linux');
    clear(disk);
    const file = join(disk.folder, 'j');
    const journal = new Journal(file, silentLog);
    for (let i = 0; i < 200; i++) journal.accept(accepted(`f${i}`));
    journal.close();
    const before = readFileSync(file);
    disk.fill();
    for (let i = 0; i < 3; i++)
      expect(() => new Journal(file, silentLog)).toThrow(
        expect.objectContaining({ code: 'TESSERA_STORAGE', message: expect.stringContaining(file) }),
      );
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(disk.folder).filter((name) => name.startsWith('j'))).toEqual(['j']);
  });
});

describe('the file', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tessera-full-disk-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('that is removed with its folder while central runs is written again, with all open frames', () => {
    const file = join(folder, 'state', 'j');
    mkdirSync(join(folder, 'state'));
    let isOurs = false;
    const { log, errors } = errorLog();
    const journal = new Journal(file, log, () => isOurs);
    journal.accept(accepted('a'));
    rmSync(join(folder, 'state'), { recursive: true });
    journal.accept(accepted('b'));
    // Another central may have made a file there meanwhile.
    expect(existsSync(file)).toBe(false);
    expect(errors).toEqual([expect.stringContaining('is another central')]);
    isOurs = true;
    journal.close();
    expect([...entriesOf(file).keys()]).toEqual(['a', 'b']);
  });

  test('is read in spite of a torn line, wherever it is, and lines after it count', () => {
    const text = journalText([
      {
        n: 0,
        ...accepted('a'),
        i_id: '1-0',
        publishOrder: 0,
        result: '{"id":"1-0","message":"two words"}',
        ended: false,
      },
      { n: 1, ...accepted('b'), i_id: undefined, publishOrder: undefined, result: undefined, ended: false },
    ]);
    const lines = text.split(/(?<=\n)/);
    const [result] = lines.filter((line) => line.includes('two words'));
    const [before, after] = text.split(result!);
    for (let cut = 1; cut < result!.length; cut++)
      for (const end of ['\n', '  \n', '\n\n']) {
        const [a, b] = parseJournal(before + result!.slice(0, cut) + end + after);
        // Cut right before its end of line, it is complete.
        const isWhole = cut === result!.length - 1 && end !== '  \n';
        expect(a?.result).toBe(isWhole ? '{"id":"1-0","message":"two words"}' : undefined);
        expect(b?.frame).toBe('b');
      }
  });

  test('in the earlier format without checksums is read after an upgrade', () => {
    const file = join(folder, 'old');
    const frame = `front a m ${'0'.repeat(64)} classify 1763650000.5 1763650000.25`;
    writeFileSync(file, `tessera-journal/1\n+ 0 ${frame}\n= 0 1-0\n~ 0 {"id": "1-0"}\n+ 1 ${frame}\n- 1\n- 0`);
    const journal = new Journal(file, silentLog);
    expect(journal.before).toMatchObject([
      { frame: 'a', i_id: '1-0', result: '{"id": "1-0"}', ended: false },
      { ended: true },
    ]);
    journal.close();
    expect(readFileSync(file, 'utf8')).toMatch(/^tessera-journal\/2\n[0-9a-f]{8} \+ 0 front a m /);
  });
});
