import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EpochFile } from '../../../central/leadership/epoch-file.ts';

/** Lost if this fails: a restarted central claims an epoch that it had before, and nodes ignore it. */

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-epoch-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('the highest epoch is kept for the next run', () => {
  expect(new EpochFile(folder).last).toBe(0);
  new EpochFile(folder).keep(7);
  new EpochFile(folder).keep(3);
  expect(new EpochFile(folder).last).toBe(7);
});

test.each(['', 'seven', '1e400', '1.5'])('a file that says %j counts as none', (text) => {
  writeFileSync(join(folder, 'epoch'), text);
  expect(new EpochFile(folder).last).toBe(0);
});
