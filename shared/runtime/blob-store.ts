import { webcrypto } from 'node:crypto';
import { chmod, type FileHandle, open, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { TesseraError } from '../errors.ts';
import type { BlobStore } from '../ports.ts';
import { type Place, storageError } from '../storage-fault.ts';
import { makeFolder } from './folder.ts';
import { makePath } from './make-path.ts';
import { PartialBlobs } from './partial-blob.ts';
import { elsewhereOf } from './state-directory.ts';
import { sweep, writeWhole } from './whole-file.ts';

/**
 * Blobs as files, each named by the lower-case hex SHA-256 of its bytes.
 *
 *   (nothing) --put, receive--> a file of another name --hash verified, synced, renamed--> `<sha>`
 *   `<sha>` --not used for 30 days--> (nothing)
 *
 * 1. A file named by a hash was complete and had that hash when it got the name; it never changes afterwards.
 * 2. Several processes may share a folder: temporary names differ, and a rename over an equal file changes nothing.
 * 3. A file's time says when it was last used, to the day: a process uses what it put, received, or asked the size of,
 *    until it ends.
 * 4. Only names of 64 hex digits ever reach the file system, so no request leads out of the folder.
 */

const SHA = /^[0-9a-f]{64}$/;
/** Names of incomplete blobs in earlier versions. */
const TEMPORARY = /^tmp-[0-9a-f]{16}$/;

const DAY_MS = 24 * 3600 * 1000;
/** Blobs that were not used for so long are removed, ms. */
export const UNUSED_BLOB_MS = 30 * DAY_MS;
/** How often a process looks for them; before the first time it has used what its plans need. */
const LOOK_MS = 3600 * 1000;

/** Whether a string is a blob's name: 64 lower-case hex digits. */
export function isSha(name: string): boolean {
  return SHA.test(name);
}

/** The lower-case hex SHA-256 of bytes, computed off this thread. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');
}

/** Removes the blobs of a folder that were not used for 30 days before `now`, ms since 1970. Never throws. */
export async function removeUnused(folder: string, now: number): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    const path = join(folder, name);
    const found = isSha(name) ? await stat(path).catch(() => undefined) : undefined;
    if (found !== undefined && now - found.mtimeMs > UNUSED_BLOB_MS) await rm(path).catch(() => {});
  }
}

/**
 * Opens a folder of blobs, and creates it (mode 0700) if needed; `isKept` is false for a folder that ends with its
 * process, whose blobs need not be flushed. `isOwner`: what no process uses is removed in time. Throws TESSERA_STORAGE.
 */
export async function openBlobStore(folder: string, { isKept = true, isOwner = false } = {}): Promise<BlobStore> {
  const place = { what: 'the folder for blobs of models', path: folder, elsewhere: elsewhereOf(folder) };
  await makeFolder(place);
  await chmod(folder, 0o700).catch((error: unknown) => {
    throw storageError(error, place);
  });
  await sweep(folder, (name) => TEMPORARY.test(name));
  const partial = new PartialBlobs(folder);
  await partial.sweep();
  const pathOf = (sha: string): string => {
    if (!isSha(sha)) throw new TesseraError('TESSERA_BLOB', `"${sha.slice(0, 80)}" does not name a blob`);
    return join(folder, sha);
  };
  /** The folder may have been removed to free space. */
  const withFolder = async (path: string): Promise<string> => {
    try {
      makePath(folder, 0o700);
    } catch (error) {
      throw storageError(error, place, 'made');
    }
    return path;
  };
  const used = new Set<string>();
  const sizeOf = async (sha: string): Promise<number | undefined> => {
    const path = pathOf(sha);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() !== true) return undefined;
    used.add(sha);
    const now = new Date();
    if (now.getTime() - found.mtimeMs > DAY_MS) await utimes(path, now, now).catch(() => {});
    return found.size;
  };
  const look = async (): Promise<void> => {
    for (const sha of used) await sizeOf(sha);
    await removeUnused(folder, Date.now());
  };
  if (isOwner) setInterval(() => void look(), LOOK_MS).unref();
  return {
    folder,
    has: async (sha) => (await sizeOf(sha)) !== undefined,
    size: sizeOf,
    async read(sha, offset, length) {
      const file = await open(pathOf(sha)).catch((error: unknown) => {
        throw new TesseraError('TESSERA_BLOB', `blob ${sha} is not in ${folder}`, { cause: error });
      });
      try {
        const { size } = await file.stat();
        const bytes = new Uint8Array(Math.max(0, Math.min(length, size - offset)));
        await readFully(file, bytes, offset);
        return bytes;
      } finally {
        await file.close();
      }
    },
    async put(bytes) {
      const sha = await sha256(bytes);
      used.add(sha);
      if ((await sizeOf(sha)) === bytes.byteLength) return sha;
      await writeWhole({ ...placeOf(await withFolder(pathOf(sha))), isKept }, bytes);
      return sha;
    },
    arrived: (sha) => partial.arrived(sha),
    async receive(sha, size) {
      used.add(sha);
      return partial.receive(await withFolder(pathOf(sha)), sha, size);
    },
  };
}

async function readFully(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesRead } = await file.read(bytes, done, bytes.byteLength - done, offset + done);
    if (bytesRead === 0) throw new TesseraError('TESSERA_BLOB', 'a blob became shorter while it was read');
    done += bytesRead;
  }
}

const placeOf = (path: string): Place => ({ what: 'a blob of a model', path, elsewhere: elsewhereOf(path) });
