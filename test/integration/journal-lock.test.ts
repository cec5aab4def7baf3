import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lockJournal } from '../../central/journal/lock.ts';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';

/** Lost if this fails: two centrals write one journal and corrupt it. */

const PROCESSES = 4;
const ROUNDS = 60;
const URL_OF_BROKER = 'mqtt://127.0.0.1:1883';

/** Locks a journal when told to and says which; `release` unlocks it. */
const CHILD = `
import { lockJournal } from ${JSON.stringify(compiledFile(import.meta.url, '../../central/journal/lock.ts'))};
let lock;
process.on('message', async ({ folder, at }) => {
  lock?.release();
  while (Date.now() < at);
  lock = await lockJournal(folder, '${URL_OF_BROKER}', 'tessera');
  process.send(lock.file);
});
process.send('up');
`;

let folder: string;
let children: ChildProcess[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-journal-lock-'));
  const file = join(folder, 'child.mjs');
  writeFileSync(file, CHILD);
  children = Array.from({ length: PROCESSES }, () => fork(file, { execArgv: [] }));
  await Promise.all(children.map((child) => once(child, 'message')));
});
afterAll(() => {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true });
});

/** The lock that a killed process leaves behind. */
const LEFT: Readonly<Record<string, (lock: string) => void>> = {
  nothing: () => {},
  'its lock': (lock) => {
    mkdirSync(lock);
    writeFileSync(join(lock, '999999999-1'), '');
  },
  'a lock that is being removed': (lock) => mkdirSync(lock),
  'the lock of an earlier version': (lock) => writeFileSync(lock, '999999999 1'),
};

test.each(Object.entries(LEFT))(
  'processes that start together have journals of their own, after %s',
  async (_, leave) => {
    const at = Date.now();
    for (let round = 0; round < ROUNDS; round++) {
      const state = join(folder, `${at}-${round}`);
      const { file, release } = await lockJournal(state, URL_OF_BROKER, 'tessera');
      release();
      leave(`${file}.lock`);
      const answers = children.map((child) => once(child, 'message'));
      for (const child of children) child.send({ folder: state, at: Date.now() + 5 });
      const files = (await Promise.all(answers)).map(([name]) => String(name).slice(state.length));
      expect(new Set(files).size, `round ${round}: ${files.join(' ')}`).toBe(PROCESSES);
      expect(files, 'the first journal, with what the predecessor left').toContain(file.slice(state.length));
    }
  },
);
