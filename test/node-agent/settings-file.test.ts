import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openSettings } from '../../node-agent/settings-file.ts';
import { usualSettings } from '../../shared/node/runtime-settings.ts';
import { recordingLog } from '../support/recording-log.ts';

/** Lost if these fail: a node searches its settings again after each restart, or runs with those of another runtime. */

async function stateFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tessera-settings-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
const sha = (letter: string) => letter.repeat(64);

it('settings are there again after a restart, the newest of each model', async () => {
  const folder = await stateFolder();
  const first = await openSettings(folder, 4, recordingLog());
  expect(first.known.size).toBe(0);
  first.keep(sha('a'), usualSettings(4));
  first.keep(sha('b'), usualSettings(1));
  first.keep(sha('a'), usualSettings(2));
  const { known } = await openSettings(folder, 4, recordingLog());
  expect(known).toEqual(
    new Map([
      [sha('b'), usualSettings(1)],
      [sha('a'), usualSettings(2)],
    ]),
  );
});

it('those of another runtime or other threads, and a damaged file, count for nothing', async () => {
  const folder = await stateFolder();
  const path = join(folder, 'runtime-settings.json');
  (await openSettings(folder, 4, recordingLog())).keep(sha('a'), usualSettings(4));
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/"runtime":"[^"]*"/, '"runtime":"another"'));
  expect((await openSettings(folder, 4, recordingLog())).known.size).toBe(0);
  await writeFile(path, text);
  expect((await openSettings(folder, 4, recordingLog())).known.size).toBe(1);
  expect((await openSettings(folder, 2, recordingLog())).known.size).toBe(0);
  await writeFile(path, text.slice(0, -5));
  expect((await openSettings(folder, 4, recordingLog())).known.size).toBe(0);
});

it('only so many models are remembered', async () => {
  const folder = await stateFolder();
  const { keep } = await openSettings(folder, 4, recordingLog());
  for (let n = 0; n < 260; n++) keep(`${n}`, usualSettings(1));
  const { known } = await openSettings(folder, 4, recordingLog());
  expect([known.size, known.has('0'), known.has('259')]).toEqual([256, false, true]);
});

it('a folder that cannot be written costs the settings of later runs only', async () => {
  const folder = await stateFolder();
  const log = recordingLog();
  const { keep } = await openSettings(folder, 4, log);
  await rm(folder, { recursive: true });
  keep(sha('a'), usualSettings(1));
  expect(log.lines.some((line) => line.startsWith('warn'))).toBe(true);
});
