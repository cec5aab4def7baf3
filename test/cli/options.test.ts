import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { connectionSettings, duration, gridOption, integer, type Parser, positive, share } from '../../cli/options.ts';

// Lost if these fail: a mistyped option is read as another value, or refused without the accepted values.

describe('values of options', () => {
  it.each<[Parser<unknown>, string, unknown]>([
    [integer(1), '20', 20],
    [positive, '0.5', 0.5],
    [share, '1', 1],
    [duration, '30m', 1800],
    [duration, '2d', 172_800],
    [gridOption, '2x4', [2, 4]],
  ])('%o reads %s', (parse, text, expected) => {
    const read = parse(text, '--flag <x>');
    if (Array.isArray(expected)) expect(read).toBeDefined();
    else expect(read).toBe(expected);
  });

  it.each<[Parser<unknown>, string]>([
    [integer(1), ''],
    [integer(1), '1.5'],
    [integer(1, 9), '10'],
    [positive, '-1'],
    [positive, 'many'],
    [share, '99'],
    [duration, '90'],
    [duration, '31d'],
    [gridOption, '2by4'],
  ])('%o refuses "%s", names the option and says what is accepted', (parse, text) => {
    expect(() => parse(text, '--flag <x>')).toThrowError(
      expect.objectContaining({
        code: 'TESSERA_USAGE',
        message: expect.stringContaining('--flag'),
        hint: expect.stringMatching(/^expected /),
      }),
    );
  });
});

describe('connection options', () => {
  it('become the strongest layer of the configuration; a host alone is an mqtt:// address', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-options-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, 'secret \n');
    expect(await connectionSettings({ broker: '10.0.0.1:1884', user: 'admin-anna', passwordFile })).toEqual([
      { path: ['mqtt', 'server'], value: 'mqtt://10.0.0.1:1884', origin: 'flag --broker' },
      { path: ['mqtt', 'user'], value: 'admin-anna', origin: 'flag --user' },
      { path: ['mqtt', 'password'], value: 'secret ', origin: 'flag --password-file' },
    ]);
    expect(await connectionSettings({ broker: undefined, user: undefined, passwordFile: undefined })).toEqual([]);
  });

  it('name a password file that cannot be read', async () => {
    const options = { broker: undefined, user: undefined, passwordFile: '/nowhere/at/all' };
    await expect(connectionSettings(options)).rejects.toMatchObject({
      code: 'TESSERA_USAGE',
      message: expect.stringContaining('/nowhere/at/all'),
    });
  });
});
