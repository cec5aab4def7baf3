import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeFolder } from '../../../shared/runtime/folder.ts';
import { makeWhole, writeWhole, writeWholeSync } from '../../../shared/runtime/whole-file.ts';
import { smallDisk } from '../../support/small-disk.ts';

// Lost if these fail: secrets, keys and ids of a machine whose disk was full for a minute.

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-whole-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const place = (name = 'file', at = folder) => ({ what: 'the secrets', path: join(at, name), elsewhere: 'move house' });
const writers = {
  writeWhole,
  writeWholeSync: async (...args: Parameters<typeof writeWholeSync>) => writeWholeSync(...args),
};

describe.each(Object.entries(writers))('%s', (_, write) => {
  it('leaves a file with this content, for its owner only, and no temporary file', async () => {
    await write(place(), 'one');
    await write(place(), new Uint8Array([0, 255, 10]));
    expect([...(await readFile(place().path))]).toEqual([0, 255, 10]);
    expect((await stat(place().path)).mode & 0o777).toBe(0o600);
    await write({ ...place(), mode: 0o644 }, 'three');
    expect((await stat(place().path)).mode & 0o777).toBe(0o644);
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('names file and reason, with a hint, where the folder is missing or is a file', async () => {
    await writeFile(join(folder, 'plain'), '');
    await expect(write(place('none/file'), 'x')).rejects.toMatchObject({
      code: 'TESSERA_STORAGE',
      message: `the secrets ${folder}/none/file cannot be written: the folder that it lies in is not there (ENOENT)`,
      hint: `make that folder: ${folder}/none, or move house`,
    });
    await expect(write(place('plain/file'), 'x')).rejects.toMatchObject({
      code: 'TESSERA_STORAGE',
      message: expect.stringContaining('a part of its path is a file, not a folder (ENOTDIR)'),
    });
    mkdirSync(join(folder, 'is-folder'));
    await expect(write(place('is-folder'), 'x')).rejects.toMatchObject({ code: 'TESSERA_STORAGE' });
    expect((await readdir(folder)).sort()).toEqual(['is-folder', 'plain']);
  });

  it('keeps the owner of the file that it replaces, or else a command run by root makes it unreadable for a service', async (test) => {
    if (process.getuid?.() !== 0) return test.skip('only root gives files away');
    await write(place(), 'one');
    chownSync(place().path, 65534, 65534);
    await write(place(), 'two');
    expect(statSync(place().path)).toMatchObject({ uid: 65534, gid: 65534 });
  });

  it('keeps the old file, and leaves no other file and no open one, while the disk is full', async (test) => {
    const disk = await smallDisk('64k');
    if (disk === undefined) return test.skip('needs root and a tmpfs on Linux');
    try {
      const file = place('file', disk.folder);
      await write(file, 'old');
      const free = disk.fill();
      const open = () => readdirSync('/proc/self/fd').length;
      const before = open();
      for (let i = 0; i < 20; i++)
        await expect(write(file, 'x'.repeat(30_000))).rejects.toMatchObject({
          code: 'TESSERA_STORAGE',
          message: `the secrets ${file.path} cannot be written: the disk is full (ENOSPC)`,
          hint: expect.stringContaining('make room'),
        });
      expect(open()).toBe(before);
      expect(readFileSync(file.path, 'utf8')).toBe('old');
      expect(readdirSync(disk.folder).filter((name) => name.startsWith('file'))).toEqual(['file']);
      free();
      await write(file, 'x'.repeat(30_000));
      expect(readFileSync(file.path, 'utf8')).toHaveLength(30_000);
    } finally {
      disk.remove();
    }
  });

  it('reports a read-only file system', async (test) => {
    const disk = await smallDisk('64k');
    if (disk === undefined) return test.skip('needs root and a tmpfs on Linux');
    try {
      await write(place('file', disk.folder), 'old');
      execFileSync('mount', ['-o', 'remount,ro', disk.folder]);
      await expect(write(place('file', disk.folder), 'new')).rejects.toMatchObject({
        code: 'TESSERA_STORAGE',
        message: expect.stringContaining('the file system is read-only (EROFS)'),
      });
      expect(readFileSync(join(disk.folder, 'file'), 'utf8')).toBe('old');
    } finally {
      disk.remove();
    }
  });
});

describe('makeWhole', () => {
  it('lets one of many callers make the file; the others find it complete', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, (_, i) => makeWhole(place(), `content ${i}`)));
    const winner = made.indexOf(true);
    expect(made.filter((one) => one)).toHaveLength(1);
    expect(readFileSync(place().path, 'utf8')).toBe(`content ${winner}`);
    expect(readdirSync(folder)).toEqual(['file']);
  });
});

describe('makeFolder', () => {
  it('removes temporary files of processes that were killed, and nothing else', async () => {
    const names = ['file.0123456789ab.new', 'file.ba9876543210.new', 'mine.new', 'file'];
    for (const name of names) await writeFile(join(folder, name), '');
    await utimes(join(folder, names[0]!), 1, 1);
    await utimes(join(folder, 'mine.new'), 1, 1);
    await makeFolder({ what: 'state', path: folder });
    expect(readdirSync(folder).sort()).toEqual(names.slice(1).sort());
  });

  it('names the parent folder that prevents it', async () => {
    await writeFile(join(folder, 'plain'), '');
    const path = join(folder, 'plain', 'a', 'b');
    await expect(makeFolder({ what: 'the state directory', path, elsewhere: 'set X' })).rejects.toMatchObject({
      code: 'TESSERA_STORAGE',
      message: expect.stringMatching(/^the state directory .*plain\/a\/b cannot be made: a part of its path is a file/),
      hint: expect.stringContaining('set X'),
    });
    const own = { what: 'the state directory', path: join(folder, 'plain') };
    await expect(makeFolder(own)).rejects.toMatchObject({
      message: `the state directory ${folder}/plain cannot be made: it is a file, not a folder (EEXIST)`,
    });
    expect(existsSync(path)).toBe(false);
    chmodSync(folder, 0o700);
    rmSync(join(folder, 'plain'));
    expect(await makeFolder({ what: 'state', path })).toBe(path);
  });
});
