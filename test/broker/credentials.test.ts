import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createCredentials } from '../../broker/credentials.ts';
import { userName } from '../../broker/policy.ts';
import { hashSecret, newSecret } from '../../shared/runtime/secret.ts';
import { smallDisk } from '../support/small-disk.ts';

// Lost if these fail: readable passwords on disk, or machines that cannot come back after a restart.

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-credentials-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));
const file = () => join(folder, 'credentials.json');

describe('createCredentials', () => {
  it('recognises the secrets that it issued, also after a restart', async () => {
    const { user, password } = await (await createCredentials(folder)).issue('node', 'pi-1');
    expect(user).toBe('pi-1');
    const later = await createCredentials(folder);
    expect(later.verify(user, password)).toEqual({ role: 'node', name: 'pi-1' });
    expect(later.verify(user, `${password}x`)).toBeUndefined();
    expect(later.verify(user, '')).toBeUndefined();
    expect(later.verify('pi-2', password)).toBeUndefined();
    expect(later.verify('constructor', password)).toBeUndefined();
    expect(later.users()).toEqual([{ user: 'pi-1', role: 'node', name: 'pi-1' }]);
  });

  it('writes hashes only, in a file that only its owner may read', async () => {
    const { password } = await (await createCredentials(folder)).issue('viewer', 'anna');
    expect(await readFile(file(), 'utf8')).not.toContain(password);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect((await readdir(folder)).sort()).toEqual(['credentials.json', 'credentials.reserve']);
    await chmod(file(), 0o644);
    await createCredentials(folder);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
  });

  it('lets the bearer of an invitation set a secret once, and only until it expires', async () => {
    let now = 1000;
    const credentials = await createCredentials(folder, () => now);
    const code = newSecret();
    const own = newSecret();
    expect(await credentials.invite('node', 'pi-1', hashSecret(code), 1060)).toBe('pi-1');
    expect(credentials.verify('pi-1', code)).toBeUndefined();
    expect(await credentials.redeem('pi-1', 'wrong', own)).toBe(false);
    expect(await credentials.redeem('pi-2', code, own)).toBe(false);
    const later = await createCredentials(folder, () => now);
    expect(await later.redeem('pi-1', code, own)).toBe(true);
    expect(later.verify('pi-1', own)).toEqual({ role: 'node', name: 'pi-1' });
    expect(await later.redeem('pi-1', code, 'another')).toBe(false);
    expect((await createCredentials(folder)).verify('pi-1', own)).toBeDefined();
    expect(await readFile(file(), 'utf8')).not.toMatch(new RegExp(`${own}|${code}`));

    await later.invite('node', 'pi-2', hashSecret(code), 1060);
    now = 1060;
    expect(await later.redeem('pi-2', code, own)).toBe(false);
    await later.invite('node', 'pi-3', hashSecret(code), 2000);
    expect(await readFile(file(), 'utf8')).not.toContain('pi-2');
  });

  it('admits one of two clients that use an invitation at the same time', async () => {
    const credentials = await createCredentials(folder);
    const code = newSecret();
    await credentials.invite('node', 'pi-1', hashSecret(code), Number.MAX_SAFE_INTEGER);
    const both = await Promise.all([credentials.redeem('pi-1', code, 'a'), credentials.redeem('pi-1', code, 'b')]);
    expect(both).toEqual([true, false]);
    expect(credentials.verify('pi-1', 'a')).toBeDefined();
    expect(credentials.verify('pi-1', 'b')).toBeUndefined();
  });

  it('keeps the old secret until an invitation is used, and bans a revoked user', async () => {
    const credentials = await createCredentials(folder);
    const { user, password } = await credentials.issue('node', 'pi-1');
    await credentials.invite('node', 'pi-1', hashSecret('code'), Number.MAX_SAFE_INTEGER);
    expect(credentials.verify(user, password)).toBeDefined();
    expect(await credentials.revoke(user)).toBe(true);
    expect(credentials.verify(user, password)).toBeUndefined();
    expect(await credentials.redeem(user, 'code', 'x')).toBe(false);
    expect((await createCredentials(folder)).isRevoked(user)).toBe(true);
    await credentials.invite('node', 'pi-1', hashSecret('code'), Number.MAX_SAFE_INTEGER);
    expect(credentials.isRevoked(user)).toBe(false);
    expect(await credentials.revoke('pi-7')).toBe(false);
    expect(credentials.isRevoked('pi-7')).toBe(false);
    expect(await credentials.revoke('pi-7', true)).toBe(false);
    expect(credentials.isRevoked('pi-7')).toBe(true);
  });

  it('reads the file of a version without invitations', async () => {
    const { user, password } = await (await createCredentials(folder)).issue('node', 'pi-1');
    const { invitations: _, revoked: __, ...old } = JSON.parse(await readFile(file(), 'utf8'));
    await writeFile(file(), JSON.stringify(old));
    expect((await createCredentials(folder)).verify(user, password)).toBeDefined();
  });

  it('replaces and revokes a secret', async () => {
    const credentials = await createCredentials(folder);
    const old = await credentials.issue('camera', 'front_door');
    const fresh = await credentials.issue('camera', 'front_door');
    expect(credentials.verify(old.user, old.password)).toBeUndefined();
    expect(credentials.verify(fresh.user, fresh.password)).toEqual({ role: 'camera', name: 'front_door' });
    expect(await credentials.revoke(fresh.user)).toBe(true);
    expect(await credentials.revoke(fresh.user)).toBe(false);
    expect((await createCredentials(folder)).verify(fresh.user, fresh.password)).toBeUndefined();
  });

  it('loses no secret when several are issued at once', async () => {
    const credentials = await createCredentials(folder);
    const names = ['a', 'b', 'c', 'd', 'e'];
    await Promise.all(names.map((name) => credentials.issue('node', name)));
    expect((await createCredentials(folder)).users().map(({ name }) => name)).toEqual(names);
  });

  it('lets no name stand for two identities', async () => {
    const credentials = await createCredentials(folder);
    await credentials.issue('camera', 'x');
    await expect(credentials.issue('node', userName('camera', 'x'))).rejects.toMatchObject({ code: 'TESSERA_CONFIG' });
    await expect(credentials.issue('node', 'central')).rejects.toMatchObject({ code: 'TESSERA_CONFIG' });
    await expect(credentials.issue('node', 'Not an id')).rejects.toMatchObject({ code: 'TESSERA_CONFIG' });
  });

  it.each(['', '{', '[]', '{"version":2,"users":{}}'])('refuses a file that is not one of ours: %j', async (text) => {
    await writeFile(file(), text);
    await expect(createCredentials(folder)).rejects.toMatchObject({ code: 'TESSERA_CONFIG', hint: expect.any(String) });
  });
});

describe('on a full disk', () => {
  it('a revoked user stays out after a restart, because disk space is reserved for that', async ({ skip }) => {
    const small = await smallDisk('4m');
    if (small === undefined) return skip('needs root and a tmpfs on Linux');
    onTestFinished(small.remove);
    const disk = small.folder;
    const credentials = await createCredentials(disk);
    const { user, password } = await credentials.issue('node', 'pi-1');
    small.fill();
    expect(await credentials.revoke(user)).toBe(true);
    const later = await createCredentials(disk);
    expect(later.verify(user, password)).toBeUndefined();
    expect(later.isRevoked(user)).toBe(true);
  });

  it('a secret that could not be written admits no client, and the log names users that a restart would admit again', async ({
    skip,
  }) => {
    const small = await smallDisk('4m');
    if (small === undefined) return skip('needs root and a tmpfs on Linux');
    onTestFinished(small.remove);
    const disk = small.folder;
    const credentials = await createCredentials(disk);
    const { user, password } = await credentials.issue('node', 'pi-1');
    await rm(join(disk, 'credentials.reserve'));
    const empty = small.fill();
    await expect(credentials.issue('node', 'pi-2')).rejects.toMatchObject({ code: 'TESSERA_STORAGE' });
    expect(credentials.users()).toHaveLength(1);
    const code = newSecret();
    await expect(credentials.invite('node', 'pi-3', hashSecret(code), 2e9)).rejects.toMatchObject({
      code: 'TESSERA_STORAGE',
    });
    expect(await credentials.redeem('pi-3', code, 'secret')).toBe(false);
    await expect(credentials.revoke(user)).rejects.toMatchObject({ code: 'TESSERA_STORAGE' });
    expect(credentials.verify(user, password)).toBeUndefined();
    expect(credentials.isRevoked(user)).toBe(true);
    empty();
    // The change that could not be written is written with the next one.
    await credentials.issue('node', 'pi-2');
    const later = await createCredentials(disk);
    expect(later.isRevoked(user)).toBe(true);
    expect(later.users().map((one) => one.name)).toEqual(['pi-2']);
    // And the user may be admitted again.
    const again = await later.issue('node', 'pi-1');
    expect(later.verify(again.user, again.password)).toEqual({ role: 'node', name: 'pi-1' });
  });

  it('an invitation is valid once, however many clients use it at a time', async () => {
    const credentials = await createCredentials(folder);
    const code = newSecret();
    await credentials.invite('node', 'pi-1', hashSecret(code), 2e9);
    const tries = await Promise.all(
      Array.from({ length: 5 }, (_, i) => credentials.redeem('pi-1', code, `secret ${i}`)),
    );
    expect(tries.filter(Boolean)).toHaveLength(1);
  });
});
