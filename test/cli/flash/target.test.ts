import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Card } from '../../../cli/flash/card.ts';
import { prepareCard } from '../../../cli/flash/prepare-card.ts';
import { openTarget, type TargetOptions } from '../../../cli/flash/target.ts';

/** If it fails, cards lack what was asked for, or an image is damaged that was somebody's only one. */

const missing = ['mcopy', 'mkfs.vfat', 'xz'].find((program) => spawnSync('which', [program]).status !== 0);
const folder = mkdtempSync(join(tmpdir(), 'tessera-cards-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Where the boot partition of the images begins, in sectors, as in those of Raspberry Pi OS 12. */
const START = 8192;
const MTOOLS = { env: { ...process.env, MTOOLS_SKIP_CHECK: '1' }, encoding: 'utf8' } as const;
const mtools = (program: string, image: string, ...words: readonly string[]): string =>
  execFileSync(program, ['-i', `${image}@@${START * 512}`, ...words], MTOOLS);

/** An image with a boot partition of `mb` MB and the files of firstrun's images, or others. */
function makeImage(name: string, files: readonly string[] = ['config.txt', 'cmdline.txt'], mb = 12): string {
  const image = join(folder, name);
  const sectors = mb * 2000;
  execFileSync('mkfs.vfat', ['-C', '--offset', `${START}`, image, `${sectors / 2}`], { stdio: 'ignore' });
  const bytes = readFileSync(image);
  bytes[446 + 4] = 0x0c;
  bytes.writeUInt32LE(START, 446 + 8);
  bytes.writeUInt32LE(sectors, 446 + 12);
  bytes.writeUInt16LE(0xaa55, 510);
  writeFileSync(image, bytes);
  writeFileSync(join(folder, 'line'), 'console=tty1 root=PARTUUID=1-02 rootwait\n');
  for (const file of files) mtools('mcopy', image, join(folder, 'line'), `::${file}`);
  return image;
}

const OPTIONS: TargetOptions = { image: undefined, yes: false, ask: undefined, progress: () => {} };
const card = (name: string): Card => ({ name, user: 'pi', keys: ['key'], instance: `tessera-${name}-1` });
const PACKAGE = Buffer.alloc(3e6, 'package');

async function flash(path: string, names: readonly string[], options: Partial<TargetOptions> = {}): Promise<string[]> {
  const target = await openTarget(path, names.length, { ...OPTIONS, ...options });
  const forms: string[] = [];
  for (const name of names)
    await target.withCard(name, async (volume, where) => {
      forms.push(await prepareCard(volume, card(name), `token of ${name}`, PACKAGE, where));
    });
  return forms;
}

describe.skipIf(missing !== undefined)(
  `an image file${missing === undefined ? '' : ` (skipped: no ${missing})`}`,
  () => {
    it('has all files after a flash, also after a second one, and is a sound file system', async () => {
      const image = makeImage('pi.img');
      expect(await flash(image, ['pi-0'])).toEqual(['firstrun']);
      expect(await flash(image, ['pi-1'])).toEqual(['firstrun']);
      expect(mtools('mtype', image, '::tessera.join')).toBe('token of pi-1\n');
      expect(mtools('mtype', image, '::firstrun.sh')).toContain("name='pi-1'\n");
      expect(mtools('mtype', image, '::cmdline.txt')).toMatch(
        /^console=tty1 root=PARTUUID=1-02 rootwait systemd.run=.*\n$/,
      );
      mtools('mcopy', image, '::tessera.deb', join(folder, 'back.deb'));
      expect(readFileSync(join(folder, 'back.deb')).equals(PACKAGE)).toBe(true);
      writeFileSync(join(folder, 'boot.fat'), readFileSync(image).subarray(START * 512));
      expect(spawnSync('fsck.vfat', ['-n', join(folder, 'boot.fat')]).status).toBe(0);
    });

    it('gets the form that it understands', async () => {
      const image = makeImage('trixie.img', ['config.txt', 'cmdline.txt', 'user-data', 'meta-data', 'network-config']);
      expect(await flash(image, ['pi-1'])).toEqual(['cloud-init']);
      expect(mtools('mtype', image, '::meta-data')).toContain('instance-id: tessera-pi-1-1\n');
      expect(mtools('mdir', image, '-b', '::')).not.toContain('firstrun');
    });

    it('is made of another one, packed or not, one for each card', async () => {
      const image = makeImage('source.img');
      const before = readFileSync(image);
      execFileSync('xz', ['-0', '-k', image]);
      await flash(join(folder, 'card.img'), ['pi-1', 'pi-2'], { image: `${image}.xz` });
      for (const name of ['pi-1', 'pi-2']) {
        expect(mtools('mtype', join(folder, `card-${name}.img`), '::tessera.join')).toBe(`token of ${name}\n`);
        expect(statSync(join(folder, `card-${name}.img`)).mode & 0o777).toBe(0o600);
      }
      expect(readFileSync(image).equals(before)).toBe(true);
    });

    it('that is there is not written over unasked', async () => {
      const image = makeImage('there.img');
      const other = join(folder, 'other.img');
      copyFileSync(image, other);
      await expect(flash(other, ['pi-1'], { image })).rejects.toThrow('other.img exists');
      expect(await flash(other, ['pi-1'], { image, yes: true })).toEqual(['firstrun']);
    });

    it('that is to be made of itself is left as it is', async () => {
      const image = makeImage('itself.img');
      const before = readFileSync(image);
      symlinkSync(image, join(folder, 'link.img'));
      for (const path of [image, join(folder, 'link.img')])
        await expect(flash(path, ['pi-1'], { image, yes: true })).rejects.toThrow('is the image itself');
      expect(readFileSync(image).equals(before)).toBe(true);
    });

    it('is refused where it is damaged, of something else, or full', async () => {
      writeFileSync(join(folder, 'text.img'), 'no image'.repeat(100));
      await expect(flash(join(folder, 'text.img'), ['pi-1'])).rejects.toThrow('no table of partitions');
      await expect(flash(makeImage('pc.img', ['cmdline.txt']), ['pi-1'])).rejects.toThrow('it has no config.txt');
      const small = makeImage('small.img', undefined, 6);
      await expect(flash(small, ['pi-1'])).rejects.toThrow('free, and needs 7 MB');
      expect(mtools('mtype', small, '::cmdline.txt')).not.toContain('systemd');
      writeFileSync(join(folder, 'bad.img.xz'), 'not packed');
      await expect(flash(join(folder, 'new.img'), ['pi-1'], { image: join(folder, 'bad.img.xz') })).rejects.toThrow(
        'bad.img.xz is damaged',
      );
      expect(existsSync(join(folder, 'new.img'))).toBe(false);
    });
  },
);

describe('a target', () => {
  it('that is a mounted volume is changed in place', async () => {
    const boot = mkdtempSync(join(folder, 'boot-'));
    for (const name of ['config.txt', 'cmdline.txt']) writeFileSync(join(boot, name), 'rootwait\n');
    expect(await flash(boot, ['pi-1'])).toEqual(['firstrun']);
    expect(readFileSync(join(boot, 'tessera.join'), 'utf8')).toBe('token of pi-1\n');
    await expect(flash(boot, ['pi-1'], { image: 'x.img' })).rejects.toThrow('a mounted volume');
    await expect(flash(folder, ['pi-1'])).rejects.toThrow('is no boot volume of a Raspberry Pi: it has no config.txt');
  });

  it('takes several cards where somebody changes them', async () => {
    const boot = mkdtempSync(join(folder, 'boot-'));
    await expect(flash(boot, ['pi-1', 'pi-2'])).rejects.toThrow('2 cards need somebody who changes them');
    const asked: string[] = [];
    const ask = async (question: string) => {
      asked.push(question);
      for (const name of ['config.txt', 'cmdline.txt']) writeFileSync(join(boot, name), 'rootwait\n');
      return '';
    };
    await flash(boot, ['pi-1', 'pi-2'], { ask });
    expect(asked).toEqual(['put in the card of pi-1, and press Enter ', 'put in the card of pi-2, and press Enter ']);
  });

  it.each([
    [join(folder, 'none.img'), 1, 'is not there'],
    ['/dev/null', 1, 'neither a folder, a file nor a block device'],
  ])('is refused: %s', async (path, cards, reason) => {
    await expect(openTarget(path, cards, OPTIONS)).rejects.toThrow(reason);
  });
});

const NO_LOOP =
  missing ?? (process.getuid?.() === 0 && spawnSync('losetup', ['-f']).status === 0 ? undefined : 'no loop devices');
describe.skipIf(NO_LOOP !== undefined)(`a block device${NO_LOOP === undefined ? '' : ` (skipped: ${NO_LOOP})`}`, () => {
  it('is written to once it is confirmed by its path, and never while it is in use', async () => {
    const image = makeImage('for-device.img');
    writeFileSync(join(folder, 'card'), Buffer.alloc(24e6));
    const losetup = (...words: readonly string[]) => execFileSync('losetup', words, { encoding: 'utf8' }).trim();
    const device = losetup('--find', '--show', join(folder, 'card'));
    try {
      await expect(flash(device, ['pi-1'], { image })).rejects.toThrow('everything on it is lost');
      await expect(flash(device, ['pi-1'], { image, ask: async () => 'y' })).rejects.toThrow('was not confirmed');
      expect(readFileSync(join(folder, 'card')).every((byte) => byte === 0)).toBe(true);
      const asked: string[] = [];
      const said: string[] = [];
      const ask = async (question: string) => {
        asked.push(question);
        return device;
      };
      expect(await flash(device, ['pi-1'], { image, ask, progress: (text) => said.push(text) })).toEqual(['firstrun']);
      expect(said.filter((text) => text.includes('blockdev'))).toEqual([]);
      expect(asked).toEqual([expect.stringContaining('everything on it is lost')]);
      expect(mtools('mtype', join(folder, 'card'), '::tessera.join')).toBe('token of pi-1\n');

      const held = openSync(device, constants.O_RDWR | constants.O_EXCL);
      await expect(flash(device, ['pi-2'], { yes: true }))
        .rejects.toThrow('is in use')
        .finally(() => closeSync(held));
    } finally {
      losetup('--detach', device);
    }
  });
});
