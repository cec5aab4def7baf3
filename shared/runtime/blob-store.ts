import { webcrypto } from 'node:crypto';
import { chmod, type FileHandle, open, stat } from 'node:fs/promises';
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
 *
 * 1. A file named by a hash was complete and had that hash when it got the name; it never changes afterwards.
 * 2. Several processes may share a folder: temporary names differ, and a rename over an equal file changes nothing.
 * 3. Only names of 64 hex digits ever reach the file system, so no request leads out of the folder.
 */

const SHA = /^[0-9a-f]{64}$/;
/** Names of incomplete blobs in earlier versions. */
const TEMPORARY = /^tmp-[0-9a-f]{16}$/;

/** Whether a string is a blob's name: 64 lower-case hex digits. */
export function isSha(name: string): boolean {
  return SHA.test(name);
}

/** The lower-case hex SHA-256 of bytes, computed off this thread. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex');
}

/**
 * Opens a folder of blobs, and creates it (mode 0700) if needed; `isKept` is false for a folder that ends with its
 * process, whose blobs need not be flushed. Throws TESSERA_STORAGE.
 */
export async function openBlobStore(folder: string, { isKept = true } = {}): Promise<BlobStore> {
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
  const sizeOf = async (sha: string): Promise<number | undefined> => {
    const found = await stat(pathOf(sha)).catch(() => undefined);
    return found?.isFile() === true ? found.size : undefined;
  };
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
      if ((await sizeOf(sha)) === bytes.byteLength) return sha;
      await writeWhole({ ...placeOf(await withFolder(pathOf(sha))), isKept }, bytes);
      return sha;
    },
    arrived: (sha) => partial.arrived(sha),
    receive: async (sha, size) => partial.receive(await withFolder(pathOf(sha)), sha, size),
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
