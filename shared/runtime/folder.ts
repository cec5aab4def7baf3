import { access, constants, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Place, storageError } from '../storage-fault.ts';
import { makePath } from './make-path.ts';
import { sweep } from './whole-file.ts';

/**
 * Creates a folder for files of `whole-file.ts`, with its parents, unless it exists; only its owner may enter (mode
 * 0700). Removes leftovers of killed processes. Throws TESSERA_STORAGE.
 */
export async function makeFolder(place: Place): Promise<string> {
  try {
    makePath(place.path, 0o700);
  } catch (error) {
    throw storageError(error, place, 'made');
  }
  await access(place.path, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw storageError(error, place);
  });
  await sweep(place.path);
  return place.path;
}

/** A new folder in the system's folder for temporary files; `prefix` begins its name. Throws TESSERA_STORAGE. */
export async function makeTemporaryFolder(prefix: string): Promise<string> {
  const path = join(tmpdir(), prefix);
  try {
    return await mkdtemp(path);
  } catch (error) {
    const elsewhere = 'set TMPDIR to a folder that this user may write';
    throw storageError(error, { what: 'the folder for temporary files', path: tmpdir(), elsewhere }, 'used');
  }
}
