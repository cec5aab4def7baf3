import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ar, type Entry, tar } from '../../../bundle/archive.ts';
import { TarReader } from '../../../shared/update/tar.ts';

/** What a reader finds in an archive that comes in pieces of these sizes. */
function read(
  archive: Uint8Array,
  sizes: readonly number[],
): { path: string; content: Buffer | string; executable: boolean }[] {
  const reader = new TarReader();
  const found: { path: string; content: Buffer | string; executable: boolean }[] = [];
  for (let at = 0, i = 0; at < archive.byteLength; i++) {
    const size = sizes[i % sizes.length]!;
    for (const piece of reader.take(archive.subarray(at, at + size))) {
      if ('bytes' in piece) {
        const last = found.at(-1)!;
        last.content = Buffer.concat([last.content as Buffer, piece.bytes]);
      } else if (piece.entry.kind !== 'folder') {
        const { path, kind, linkTo, executable } = piece.entry;
        found.push({ path, content: kind === 'link' ? linkTo : Buffer.alloc(0), executable });
      }
    }
    at += size;
  }
  reader.end();
  return found;
}

const archiveOf = (...entries: Entry[]): Buffer => Buffer.concat([...tar(entries, 0)]);

describe('a tar archive', () => {
  it('is read as it was made, in pieces of any size', () => {
    const name = fc.stringMatching(/^[a-z0-9]{1,30}$/);
    const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((words) => words.join('/'));
    const entry = fc.record({ path, content: fc.uint8Array({ maxLength: 1500 }), executable: fc.boolean() });
    const entries = fc.uniqueArray(entry, { selector: (each) => each.path, maxLength: 8 });
    const sizes = fc.array(fc.integer({ min: 1, max: 1300 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(entries, sizes, (made, pieces) => {
        const sorted = [...made].sort((a, b) => (a.path < b.path ? -1 : 1));
        const found = read(archiveOf(...made), pieces);
        expect(found).toEqual(sorted.map((each) => ({ ...each, content: Buffer.from(each.content) })));
      }),
    );
  });

  it('keeps links', () => {
    expect(read(archiveOf({ path: 'current', content: { linkTo: '0.1.0' } }), [512])).toEqual([
      { path: 'current', content: '0.1.0', executable: true },
    ]);
  });

  const file = { path: 'a/b', content: Buffer.from('x') };
  it.each([
    ['a path that leaves the folder', archiveOf({ ...file, path: 'a/../../b' }), /no bundle has/],
    ['an absolute path', archiveOf({ ...file, path: '/etc/passwd' }), /no bundle has/],
    [
      'an entry below a link',
      archiveOf({ path: 'a/b', content: { linkTo: '/etc' } }, { ...file, path: 'a/b/c' }),
      /below a link/,
    ],
    ['an early end', archiveOf(file).subarray(0, 1024), /ends early/],
    ['other bytes', ar([{ name: 'x', content: Buffer.alloc(2000) }], 0), /not a ustar header|a number is none/],
  ])('with %s is refused', (_, archive, why) => {
    expect(() => read(archive, [700])).toThrow(why);
  });
});
