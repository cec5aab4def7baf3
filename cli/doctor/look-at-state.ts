import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, readdir, stat, statfs, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { StateFacts, StateFile } from './state.ts';

/** Pieces of models: many, large, and no secret. */
const BLOBS = 'blobs';
const FILES_LOOKED_AT = 1000;

/** Looks at the state directory without changing it, but for a file that is written and removed. */
export async function lookAtState(folder: string): Promise<StateFacts> {
  const found = await stat(folder).catch(() => undefined);
  const hasModes = process.platform !== 'win32';
  const base = { folder, hasModes, exists: found !== undefined, mode: undefined, files: [], freeMb: undefined };
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
    await writeFile(file, '', { mode: 0o600, flag: 'wx' });
    await unlink(file);
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
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
