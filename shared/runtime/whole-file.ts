import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { link, open, readdir, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Place, storageError, systemCodeOf } from '../storage-fault.ts';

/**
 * Files that are there as a whole or not at all. Every file that must survive a crash or a full disk is written here:
 *
 *   old --> old and `<name>.<12 hex digits>.new`, growing --> the same, all of it on the disk --renamed--> new
 *
 *   1. The name stands for all of the old content or all of the new one, whatever happens and whenever: the new one is
 *      written to its end, flushed and closed before it takes the name, and the folder is flushed after.
 *   2. Where it cannot be written the old one stays, nothing of the new one does, and TESSERA_STORAGE says file,
 *      reason and what to do.
 *   3. What a process leaves that is killed in the middle is removed by `sweep`, which whoever opens the folder calls.
 *   4. It keeps the owner of the file that it replaces, so that a command of root takes no file away from a service.
 */

/** A file that is written whole. */
export interface WholeFile extends Place {
  /** Default 0600: its owner only. */
  readonly mode?: number;
  /** False: whole for those who look, but not kept through a loss of power, for folders that end with their process. */
  readonly isKept?: boolean;
}

const TEMPORARY = /\.[0-9a-f]{12}\.new$/;
/** A temporary file that has not changed for so long belongs to a process that died. */
const ABANDONED_MS = 3600 * 1000;
const PRIVATE = 0o600;

const temporaryOf = (path: string): string => `${path}.${randomBytes(6).toString('hex')}.new`;

/** Writes a file whole, in place of what it held. Throws TESSERA_STORAGE, and then it holds what it held. */
export async function writeWhole(file: WholeFile, content: string | Uint8Array): Promise<void> {
  const temporary = temporaryOf(file.path);
  try {
    await fill(temporary, file, content);
    if (file.isKept === false) await rename(temporary, file.path);
    else await takeName(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw storageError(error, file);
  }
}

/** The same before it returns, for callers whose caller goes on at once; it waits for the disk, 10 ms on an SD card. */
export function writeWholeSync(file: WholeFile, content: string | Uint8Array): void {
  const { path, mode = PRIVATE } = file;
  const temporary = temporaryOf(path);
  let fd: number | undefined;
  try {
    fd = openSync(temporary, 'wx', mode);
    fchmodSync(fd, mode);
    const owner = foreignOwner(statSync(path, { throwIfNoEntry: false }));
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    writeAllSync(fd, content);
    fsyncSync(fd);
    // A close that fails has closed; on network file systems it is what says that the disk is full.
    const full = fd;
    fd = undefined;
    closeSync(full);
    renameSync(temporary, path);
  } catch (error) {
    const opened = fd;
    if (opened !== undefined) quietly(() => closeSync(opened));
    quietly(() => rmSync(temporary, { force: true }));
    throw storageError(error, file);
  }
  try {
    const folder = openSync(dirname(path), 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (error) {
    if (isLoss(error)) throw storageError(error, file);
  }
}

/**
 * Writes what a user asked for into the file that he named: whole where that is a file, with the rights that it has, and
 * as it comes where it is a pipe or a device. Throws TESSERA_STORAGE.
 */
export async function writeOutput(file: Place, content: string | Uint8Array): Promise<void> {
  try {
    const path = await realpath(file.path).catch(() => file.path);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined || found.isFile()) {
      await writeWhole({ ...file, path, mode: found === undefined ? 0o644 : found.mode & 0o777 }, content);
    } else await writeFile(path, content);
  } catch (error) {
    throw storageError(error, file);
  }
}

/** Flushes a folder and all that lies in it, so that it may take a name that counts. Throws what the system says. */
export async function flushFolder(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await flushFolder(path);
    else if (entry.isFile()) await flush(path, 'r+');
  }
  await flushNames(folder);
}

/**
 * Makes a file, whole, unless there is one: of several processes that try at once, one makes it, and the others find it
 * whole. Returns whether this one did. Throws TESSERA_STORAGE.
 */
export async function makeWhole(file: WholeFile, content: string | Uint8Array): Promise<boolean> {
  const temporary = temporaryOf(file.path);
  try {
    await fill(temporary, file, content);
    await link(temporary, file.path);
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw storageError(error, file, 'made');
  } finally {
    await rm(temporary, { force: true }).catch(() => {});
  }
  await syncFolder(file);
  return true;
}

/**
 * Gives a file of the same folder that is whole, flushed and closed its name, in place of who had it. Throws
 * TESSERA_STORAGE; where the name was not given, the file is still there under its own.
 */
export async function takeName(from: string, file: Place): Promise<void> {
  await rename(from, file.path).catch((error: unknown) => {
    throw storageError(error, file);
  });
  await syncFolder(file);
}

/** Writes all of it at a descriptor's place: one call may write a part only. Throws what the system says. */
export function writeAllSync(fd: number, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  for (let done = 0; done < bytes.byteLength; ) done += writeSync(fd, bytes, done);
}

/** Removes what processes left in a folder that were killed while they wrote a file. Never throws. */
export async function sweep(folder: string, isLeft = (name: string) => TEMPORARY.test(name)): Promise<void> {
  const oldest = Date.now() - ABANDONED_MS;
  for (const name of await readdir(folder).catch(() => [])) {
    if (!isLeft(name)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true && found.mtimeMs < oldest) await rm(path, { force: true }).catch(() => {});
  }
}

/** A new file with this content, on the disk (unless it is not kept) and closed. */
async function fill(
  temporary: string,
  { path, mode = PRIVATE, isKept = true }: WholeFile,
  content: string | Uint8Array,
) {
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.chmod(mode);
    const owner = foreignOwner(await stat(path).catch(() => undefined));
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
    await handle.writeFile(content);
    if (isKept) await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Cleaning up after a fault must not hide it. */
function quietly(action: () => void): void {
  try {
    action();
  } catch {}
}

/** The owner that root has to leave a file to. */
function foreignOwner(found: Stats | undefined): Pick<Stats, 'uid' | 'gid'> | undefined {
  return process.getuid?.() === 0 && found !== undefined && found.uid !== 0 ? found : undefined;
}

async function flush(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A new name is on the disk when its folder is. Throws what the system says. */
async function flushNames(folder: string): Promise<void> {
  await flush(folder, 'r').catch((error: unknown) => {
    if (isLoss(error)) throw error;
  });
}

async function syncFolder(file: Place): Promise<void> {
  await flushNames(dirname(file.path)).catch((error: unknown) => {
    throw storageError(error, file);
  });
}

/** Whether flushing a folder failed for good; many file systems and Windows know no such thing. */
function isLoss(error: unknown): boolean {
  return ['EIO', 'ENOSPC', 'EDQUOT'].includes(systemCodeOf(error) ?? '');
}
