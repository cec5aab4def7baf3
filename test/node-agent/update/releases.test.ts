import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Releases } from '../../../node-agent/update/releases.ts';
import { silentLog } from '../../../shared/ports.ts';

/** If it fails, a node goes back to a release that is gone or the wrong one, or does not start on a full disk. */

let root: string;
let folder: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'tessera-releases-')));
  folder = join(root, 'releases');
});
afterEach(() => rmSync(root, { recursive: true }));

/** A release in a folder; returns its place. */
function release(version: string, below = join(root, 'opt')): string {
  const place = join(below, version);
  mkdirSync(join(place, 'bin'), { recursive: true });
  writeFileSync(join(place, 'bin/tessera'), '', { mode: 0o755 });
  return place;
}
const open = (installed: string, running = installed): Promise<Releases> =>
  Releases.open(folder, installed, running, silentLog);

/** Tries a release, and keeps it. */
async function update(installed: string, running: string, version: string): Promise<Releases> {
  const releases = await open(installed, running);
  const place = release(version, folder);
  await releases.begin(version, 1);
  const tried = await open(installed, place);
  await tried.keep();
  return tried;
}

describe('the releases of a node', () => {
  it('lead back to the one before, for as long as it is there', async () => {
    const first = release('1.0.0');
    const updated = await update(first, first, '2.0.0');
    expect(updated.previous).toBe('1.0.0');
    rmSync(first, { recursive: true });
    expect(updated.previous).toBeUndefined();
    await expect(updated.begin('1.0.0', 2)).rejects.toMatchObject({ code: 'TESSERA_STORAGE' });
    expect(existsSync(join(folder, 'trial'))).toBe(false);
  });

  it('lead back to the one that was installed later, where it ran before', async () => {
    const first = release('1.0.0');
    await update(first, first, '2.0.0');
    const third = release('3.0.0');
    expect((await update(third, third, '4.0.0')).previous).toBe('3.0.0');
    expect(existsSync(join(folder, '2.0.0'))).toBe(false);
  });

  it('are opened where the failure of one cannot be noted, and the next start notes it', async () => {
    const first = release('1.0.0');
    await open(first);
    symlinkSync(join(folder, '2.0.0'), join(folder, 'failed'));
    writeFileSync(join(folder, 'trial.why'), 'it crashed');
    // No file can take this name.
    mkdirSync(join(folder, 'memory.json', 'in-the-way'), { recursive: true });
    expect((await open(first)).failed).toMatchObject({ version: '2.0.0', why: 'it crashed' });
    rmSync(join(folder, 'memory.json'), { recursive: true });
    await open(first);
    expect((await open(first)).failed).toMatchObject({ version: '2.0.0', why: 'it crashed' });
  });

  it('keep one download, which is to be continued', async () => {
    const releases = await open(release('1.0.0'));
    const [one, other] = ['a'.repeat(64), 'b'.repeat(64)];
    writeFileSync(await releases.download(one), '');
    expect(existsSync(await releases.download(one))).toBe(true);
    await releases.download(other);
    expect(existsSync(join(folder, `${one}.part`))).toBe(false);
  });
});
