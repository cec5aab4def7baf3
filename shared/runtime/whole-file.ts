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
 * Atomic files: a file exists completely or not at all. Every file that must survive a crash or a full disk is written
 * here:
 *
 *   old --> old and `<name>.<12 hex digits>.new`, growing --> the same, all of it on the disk --renamed--> new
 *
 * 1. The name always refers to the complete old or the complete new content: the new one is written, flushed and closed
 * before it takes the name, and the folder is flushed afterwards.
 * 2. Where writing fails the old content stays, nothing of the new one does, and TESSERA_STORAGE has file, reason and
 * hint.
 * 3. `sweep` removes the leftovers of a killed process; it is called when a folder is opened.
 * 4. The file keeps the owner of the file that it replaces, so that a command of root does not take a file away from a
 * service.
 */

/** A file that is written atomically. */
export interface WholeFile extends Place {
  /** Default 0600: its owner only. */
  readonly mode?: number;
  /** False: atomic for readers, but not flushed, for folders that end with their process. */
  readonly isKept?: boolean;
}

const TEMPORARY = /\.[0-9a-f]{12}\.new$/;
/** A temporary file without a change for so long belongs to a dead process. */
const ABANDONED_MS = 3600 * 1000;
const PRIVATE = 0o600;

const temporaryOf = (path: string): string => `${path}.${randomBytes(6).toString('hex')}.new`;

/** Writes a file atomically, replacing its content. Throws TESSERA_STORAGE; the old content then stays. */
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

/** The same synchronously, for callers that continue at once; it waits for the disk, 10 ms on an SD card. */
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
    // A failed close has closed the file; on network file systems its error reports a full disk.
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
 * Writes a user's output to the file that the user named: atomically where that is a regular file, with its
 * permissions, and directly where it is a pipe or a device. Throws TESSERA_STORAGE.
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

/** Flushes a folder and its content, before a rename makes it visible. Throws the system's error. */
export async function flushFolder(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await flushFolder(path);
    else if (entry.isFile()) await flush(path, 'r+');
  }
  await flushNames(folder);
}

/**
 * Creates a file atomically unless it exists: of several processes that try at once, one creates it and the others find
 * it complete. Returns whether this one did. Throws TESSERA_STORAGE.
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
 * Renames a complete, flushed and closed file of the same folder, replacing the previous one. Throws TESSERA_STORAGE;
 * the file then keeps its own name.
 */
export async function takeName(from: string, file: Place): Promise<void> {
  await rename(from, file.path).catch((error: unknown) => {
    throw storageError(error, file);
  });
  await syncFolder(file);
}

/** Writes all bytes at a descriptor's position; a single call may write a part only. Throws the system's error. */
export function writeAllSync(fd: number, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  for (let done = 0; done < bytes.byteLength; ) done += writeSync(fd, bytes, done);
}

/** Removes temporary files of killed processes from a folder. Never throws. */
export async function sweep(folder: string, isLeft = (name: string) => TEMPORARY.test(name)): Promise<void> {
  const oldest = Date.now() - ABANDONED_MS;
  for (const name of await readdir(folder).catch(() => [])) {
    if (!isLeft(name)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true && found.mtimeMs < oldest) await rm(path, { force: true }).catch(() => {});
  }
}

/** A new file with this content, flushed (unless it is not kept) and closed. */
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

/** An error while cleaning up must not hide the first one. */
function quietly(action: () => void): void {
  try {
    action();
  } catch {}
}

/** The owner that root must keep. */
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

/** A rename is durable once its folder is flushed. Throws the system's error. */
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

/** Whether flushing a folder really failed; many file systems and Windows do not support it. */
function isLoss(error: unknown): boolean {
  return ['EIO', 'ENOSPC', 'EDQUOT'].includes(systemCodeOf(error) ?? '');
}
