import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import { type BootVolume, mountedVolume } from './boot-volume.ts';
import { type BlockDevice, inWords, lookAtDevice, refusalOf } from './device.ts';
import { fatVolume } from './fat-volume.ts';
import { writeImage } from './write-image.ts';

/** What the user says about a target. */
export interface TargetOptions {
  /** An image to write there first. */
  readonly image: string | undefined;
  /** Nothing has to be confirmed. */
  readonly yes: boolean;
  /** Asks at the terminal; undefined without one. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  readonly progress: (text: string) => void;
}

/** What cards are written to: a device or a mounted volume takes one after the other, image files are one for each. */
export interface Target {
  /** Makes the volume of a card ready, has `use` change it, and lets go of it. */
  readonly withCard: (card: string, use: (volume: BootVolume, where: string) => Promise<void>) => Promise<void>;
  /** Whether the card has to be taken out by the user's system first. */
  readonly isMounted: boolean;
}

/** Finds out what TARGET is. Throws TESSERA_USAGE for what cannot be a target of `cards` cards. */
export async function openTarget(path: string, cards: number, options: TargetOptions): Promise<Target> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || found.isFile()) return imageFile(path, found !== undefined, cards, options);
  if (cards > 1 && options.ask === undefined)
    throw usage(
      `${cards} cards need somebody who changes them`,
      'run the command in a terminal, or once for each card',
    );
  if (found.isBlockDevice()) return { withCard: deviceCards(path, cards, options), isMounted: false };
  if (!found.isDirectory()) throw usage(`${path} is neither a folder, a file nor a block device`, 'name one of these');
  if (options.image !== undefined)
    throw usage(
      `--image cannot be written to ${path}, a mounted volume`,
      'name the device of the card, such as /dev/sdb',
    );
  const change = changing(cards, options);
  return {
    async withCard(card, use) {
      await change(card);
      await use(mountedVolume(path), path);
    },
    isMounted: true,
  };
}

function imageFile(path: string, exists: boolean, cards: number, { image, yes, progress }: TargetOptions): Target {
  if (image === undefined && !exists) throw usage(`${path} is not there`, 'name an image with --image to make it of');
  if (image === undefined && cards > 1)
    throw usage(
      `${path} can be one card only, not ${cards}`,
      'name the image with --image: a file is made for each card',
    );
  const withCard: Target['withCard'] = async (card, use) => {
    const ending = extname(path);
    const file = cards === 1 ? path : `${path.slice(0, path.length - ending.length)}-${card}${ending}`;
    if (image !== undefined) {
      if (await isSameFile(image, file))
        throw usage(
          `${file} is the image itself`,
          'name another file to make, or leave out --image to change this one',
        );
      const made = await open(file, yes ? 'w+' : 'wx+', 0o600).catch((error: NodeJS.ErrnoException) => {
        throw error.code === 'EEXIST' ? usage(`${file} exists`, '--yes writes over it') : error;
      });
      try {
        await writeImage(image, made, shown(progress, file));
      } catch (error) {
        await rm(file, { force: true });
        throw error;
      } finally {
        await made.close();
      }
    }
    await use(await fatVolume(file), file);
  };
  return { withCard, isMounted: false };
}

function deviceCards(path: string, cards: number, options: TargetOptions): Target['withCard'] {
  const change = changing(cards, options);
  return async (card, use) => {
    await change(card);
    const device = await lookAtDevice(path);
    const refusal = refusalOf(device);
    if (refusal !== undefined) throw usage(refusal, 'nothing was written; `lsblk` lists the devices');
    await confirm(device, options);
    // While it is open for itself alone nothing can mount it, a desktop that finds new partitions included.
    const held = await open(path, constants.O_RDWR | constants.O_EXCL).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'EBUSY' ? usage(`${path} is in use`, 'unmount it, and close what reads it') : error;
    });
    try {
      const { image, progress } = options;
      const forget = (): Promise<void> => forgetDevice(path, progress);
      if (image !== undefined) await writeImage(image, held, shown(progress, path), forget);
      const volume = await fatVolume(path);
      const read: BootVolume['read'] = async (name) => {
        await forget();
        return volume.read(name);
      };
      await use({ ...volume, read }, path);
      await held.sync();
    } finally {
      await held.close();
    }
  };
}

/** Whether two paths lead to one file, whose content would be lost as it is opened for writing. */
async function isSameFile(one: string, other: string): Promise<boolean> {
  const [a, b] = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

/** Has the kernel write and forget what it holds of a device, so that the card itself is read next; root alone may. */
async function forgetDevice(path: string, progress: (text: string) => void): Promise<void> {
  const child = spawn('blockdev', ['--flushbufs', path], { stdio: 'ignore' });
  const [code] = await once(child, 'close').catch(() => [undefined]);
  if (code !== 0) progress(`${path}: blockdev --flushbufs failed, so that what is read back may come from memory`);
}

/** Has the card changed between two. */
function changing(cards: number, { ask }: TargetOptions): (card: string) => Promise<void> {
  let isFirst = true;
  return async (card) => {
    if (!isFirst || cards > 1) await ask?.(`put in the card of ${card}, and press Enter `);
    isFirst = false;
  };
}

async function confirm(device: BlockDevice, { image, yes, ask }: TargetOptions): Promise<void> {
  if (yes) return;
  const loss = image === undefined ? 'its boot partition is changed' : 'everything on it is lost';
  if (ask === undefined) throw usage(`${inWords(device)}: ${loss}; nobody is there to confirm it`, '--yes confirms it');
  const answer = await ask(`${inWords(device)}: ${loss}. Type ${device.path} to go on: `);
  if (answer.trim() !== device.path) throw usage(`${device.path} was not confirmed`, 'nothing was written');
}

/** Shows each 100 MB. */
function shown(progress: (text: string) => void, where: string): (written: number) => void {
  let next = 0;
  return (written) => {
    if (written < next) return;
    next = written + 1e8;
    progress(`${where}: ${Math.round(written / 1e6)} MB written`);
  };
}

const usage = (message: string, hint: string): TesseraError => new TesseraError('TESSERA_USAGE', message, { hint });
