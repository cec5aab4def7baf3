import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePath } from '../../../shared/runtime/make-path.ts';

// Lost if these fail: a command hangs for ever because of one wrong path on its command line.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tessera-path-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('makePath', () => {
  it('makes all folders of a path with its mode, and does not change existing ones', () => {
    const path = join(folder, 'a/b/c');
    makePath(path, 0o700);
    expect([path, join(folder, 'a')].map((each) => statSync(each).mode & 0o777)).toEqual([0o700, 0o700]);
    makePath(path);
    makePath(folder);
    makePath('/');
    symlinkSync(path, join(folder, 'link'));
    makePath(join(folder, 'link'));
    makePath(join(folder, 'link/d/../e/'));
    expect(existsSync(join(path, 'e'))).toBe(true);
  });

  it("throws the system's error where a file is in the way, or a link without a target", () => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'broken'));
    expect(() => makePath(join(folder, 'file'))).toThrow('EEXIST');
    expect(() => makePath(join(folder, 'file/a/b'))).toThrow('ENOTDIR');
    expect(() => makePath(join(folder, 'broken'))).toThrow('EEXIST');
  });

  it('ends where no folder can be made although its parent exists, where Node.js tries for ever', (test) => {
    if (!existsSync('/proc/self')) return test.skip('only Linux has /proc');
    for (const path of ['/proc/tessera', '/proc/tessera/a/b']) expect(() => makePath(path)).toThrow('ENOENT');
  });
});
