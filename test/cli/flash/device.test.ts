import { describe, expect, it } from 'vitest';
import { type BlockDevice, inWords, refusalOf } from '../../../cli/flash/device.ts';

/** If it fails, a command that is to write a card writes over somebody's disk. */

const part = (path: string, ...mountpoints: (string | null)[]): BlockDevice => ({
  path,
  type: 'part',
  size: 5e8,
  ro: false,
  rm: true,
  mountpoints,
});
const CARD: BlockDevice = {
  path: '/dev/sdb',
  type: 'disk',
  size: 31.9e9,
  ro: false,
  rm: true,
  model: 'SD Reader ',
  tran: 'usb',
  mountpoints: [null],
  children: [part('/dev/sdb1', null), part('/dev/sdb2', null)],
};

describe('a device', () => {
  it('may be written to where it is a card', () => {
    for (const card of [CARD, { ...CARD, rm: false }, { ...CARD, path: '/dev/mmcblk0', rm: false, tran: null }])
      expect(refusalOf(card)).toBeUndefined();
    expect(inWords(CARD)).toBe('/dev/sdb: 31.9 GB, SD Reader, usb');
  });

  it.each([
    ['a mounted one', { children: [part('/dev/sdb1', '/media/me/bootfs')] }, 'mounted at /media/me/bootfs'],
    ['the system disk', { children: [part('/dev/sdb1', '/')] }, 'mounted at /'],
    ['one that holds swap', { children: [part('/dev/sdb1', '[SWAP]')] }, 'mounted at [SWAP]'],
    [
      'one below an encrypted volume',
      { children: [{ ...part('/dev/sdb1', null), children: [{ ...part('/dev/mapper/x', null), type: 'crypt' }] }] },
      '/dev/mapper/x lies on it',
    ],
    ['a disk inside', { rm: false, tran: 'nvme' }, 'a disk inside of this machine (nvme)'],
    ['a disk of unknown kind', { rm: false, tran: null }, 'a disk inside of this machine'],
    ['a partition', { type: 'part' }, 'is no whole card but a part'],
    ['one that is read-only', { ro: true }, 'is read-only'],
  ])('is refused: %s', (_, change, reason) => {
    expect(refusalOf({ ...CARD, ...change })).toContain(reason);
  });
});
