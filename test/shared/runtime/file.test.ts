import { execFileSync } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileSha256, openFile, readBytes, readText } from '../../../shared/runtime/file.ts';
import { folderWith } from '../../support/library.ts';

/** A program that waits for a pipe without a writer cannot even be told to stop. */

describe.skipIf(process.platform === 'win32')('a file named by a user', () => {
  it('is read when it is a regular one, through links too', async () => {
    const folder = await folderWith({ a: 'abc' });
    await symlink('a', join(folder, 'link'));
    expect(await readText(join(folder, 'link'))).toBe('abc');
    expect(new Uint8Array(await readBytes(join(folder, 'a')))).toEqual(new Uint8Array([97, 98, 99]));
    expect(await fileSha256(join(folder, 'a'))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });

  it.each([openFile, readBytes, readText, fileSha256])('is refused when it is something else: %o', async (read) => {
    const folder = await folderWith({});
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    await symlink('pipe', join(folder, 'link'));
    await expect(read(join(folder, 'pipe'))).rejects.toThrow('it is a named pipe, not a file');
    await expect(read(join(folder, 'link'))).rejects.toThrow('it is a named pipe, not a file');
    await expect(read(folder)).rejects.toThrow('it is a folder, not a file');
    await expect(read('/dev/zero')).rejects.toThrow('it is a device, not a file');
    await expect(read(join(folder, 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
    const socket = join(folder, 'socket');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    await expect(read(socket)).rejects.toThrow();
    server.close();
  });

  it('may be the null device, which is empty', async () => {
    expect(await readText('/dev/null')).toBe('');
  });
});
