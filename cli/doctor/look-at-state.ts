import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { reasonOf } from '../../shared/storage-fault.ts';
import type { StateFacts, StateFile } from './state.ts';

/** Pieces of models: many, large, and no secret. */
const BLOBS = 'blobs';
const FILES_LOOKED_AT = 1000;

/** Checks the state directory; writes one file there and removes it. */
export async function lookAtState(folder: string): Promise<StateFacts> {
  const found = await stat(folder).catch(() => undefined);
  const hasModes = process.platform !== 'win32';
  const temporary = { folder: tmpdir(), problem: await whyNotWritten(tmpdir()) };
  const exists = found !== undefined;
  const base = { folder, hasModes, exists, mode: undefined, files: [], freeMb: undefined, temporary };
  if (found === undefined) return { ...base, problem: await whyNotMade(folder) };
  if (!found.isDirectory()) return { ...base, problem: 'it is no folder' };
  const problem = await whyNotWritten(folder);
  const space = await statfs(folder).catch(() => undefined);
  return {
    ...base,
    problem,
    mode: found.mode & 0o7777,
    files: problem === undefined ? await filesOf(folder) : [],
    freeMb: space === undefined ? undefined : (space.bavail * space.bsize) / 1e6,
  };
}

async function whyNotWritten(folder: string): Promise<string | undefined> {
  const file = join(folder, `.doctor-${randomBytes(4).toString('hex')}`);
  try {
    // A file without content is made on a full disk too.
    await writeFile(file, '\n'.repeat(4096), { mode: 0o600, flag: 'wx' });
    return undefined;
  } catch (error) {
    return reasonOf(error);
  } finally {
    await rm(file, { force: true }).catch(() => {});
  }
}

/** Why a folder could not be made where it is missing: the nearest one above it that exists decides. */
async function whyNotMade(folder: string): Promise<string | undefined> {
  for (let above = dirname(folder); ; above = dirname(above)) {
    const found = await stat(above).catch(() => undefined);
    if (found === undefined && above !== dirname(above)) continue;
    return access(above, constants.W_OK).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => `it cannot be made in ${above} (${error.code})`,
    );
  }
}

async function filesOf(folder: string): Promise<StateFile[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !relative(folder, path).split(/[\\/]/).includes(BLOBS))
    .slice(0, FILES_LOOKED_AT);
  return Promise.all(
    paths.map(async (path) => ({
      path: relative(folder, path),
      mode: ((await stat(path).catch(() => undefined))?.mode ?? 0) & 0o7777,
      readable: await access(path, constants.R_OK).then(
        () => true,
        () => false,
      ),
    })),
  );
}
