import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { ar, type Entry, tar } from '../../bundle/archive.ts';
import { debianPackage } from '../../bundle/debian.ts';

const long = `${'folder/'.repeat(20)}file`;
const entries: Entry[] = [
  { path: 'usr/bin/tessera', content: { linkTo: '/opt/tessera/current' } },
  { path: long, content: Buffer.from('long') },
  { path: 'usr/a', content: Buffer.from('a'.repeat(513)), executable: true },
];

describe('a tar archive', () => {
  it('is read by tar: names, links, modes, folders before their files', () => {
    const listed = execFileSync('tar', ['-tv', '--full-time', '-f', '-'], {
      input: Buffer.concat([...tar(entries, 86_400)]),
    });
    const lines = `${listed}`
      .trim()
      .split('\n')
      .map((line) => line.replace(/\s+/g, ' '));
    expect(lines.slice(-4)).toEqual([
      'drwxr-xr-x root/root 0 1970-01-02 00:00:00 usr/',
      '-rwxr-xr-x root/root 513 1970-01-02 00:00:00 usr/a',
      'drwxr-xr-x root/root 0 1970-01-02 00:00:00 usr/bin/',
      'lrwxrwxrwx root/root 0 1970-01-02 00:00:00 usr/bin/tessera -> /opt/tessera/current',
    ]);
    expect(lines.some((line) => line.endsWith(` ${long}`))).toBe(true);
  });

  it('does not depend on the order in which files were found', () => {
    const bytes = (given: readonly Entry[]) => Buffer.concat([...tar(given, 7)]).toString('hex');
    expect(bytes([...entries].reverse())).toBe(bytes(entries));
  });

  it('refuses a name that does not fit, instead of cutting it off', () => {
    const path = `${'x'.repeat(101)}`;
    expect(() => [...tar([{ path, content: Buffer.of() }], 0)]).toThrow('too long');
  });
});

describe('an ar archive', () => {
  it('pads odd members, so that the next one is found', () => {
    const made = ar(
      [
        { name: 'odd', content: Buffer.from('abc') },
        { name: 'next', content: Buffer.from('d') },
      ],
      5,
    );
    expect(made.toString()).toBe(
      '!<arch>\n' +
        'odd             5           0     0     100644  3         `\nabc\n' +
        'next            5           0     0     100644  1         `\nd\n',
    );
  });
});

describe('a Debian package', () => {
  it('has the members of the format, in their order', () => {
    const facts = { version: '0.1.0', arch: 'arm64', bytes: 2049, time: 0 } as const;
    const text = debianPackage(Buffer.from('data'), facts).toString();
    expect([...text.matchAll(/([\w.-]+) +0 +0 +0 +100644/g)].map(([, name]) => name)).toEqual([
      'debian-binary',
      'control.tar',
      'data.tar.zst',
    ]);
    expect(text).toContain('Architecture: arm64\n');
    expect(text).toContain('Installed-Size: 3\n');
  });
});
