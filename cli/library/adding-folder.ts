import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readText } from '../../shared/runtime/file.ts';

/** Prefix of folders in which a model is assembled; lists of models leave them out. */
const PREFIX = '.adding-';
/** File that names the process that works in such a folder. */
const OWNER = 'owner.json';
/**
 * A folder older than this is not in use any more, even if its process cannot be checked: a download may take an hour.
 */
const ABANDONED_MS = 24 * 3600 * 1000;
/** A folder without an owner file is being made now, or its process died between making the folder and the file. */
const OWNERLESS_MS = 60_000;

interface Owner {
  readonly host: string;
  readonly pid: number;
}

/** Makes a folder beside the models in which this process assembles one. Removes those of dead processes first. */
export async function addingFolder(library: string): Promise<string> {
  await sweep(library);
  const folder = await mkdtemp(join(library, PREFIX));
  const owner: Owner = { host: hostname(), pid: process.pid };
  await writeFile(join(folder, OWNER), JSON.stringify(owner));
  return folder;
}

/** Removes the folders of dead processes. */
async function sweep(library: string): Promise<void> {
  for (const name of await readdir(library).catch(() => [])) {
    const folder = join(library, name);
    if (name.startsWith(PREFIX) && (await isAbandoned(folder))) await rm(folder, { recursive: true, force: true });
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  const age = await stat(folder).then(
    ({ mtimeMs }) => Date.now() - mtimeMs,
    () => 0,
  );
  if (age > ABANDONED_MS) return true;
  const owner = await readText(join(folder, OWNER))
    .then((text) => JSON.parse(text) as Owner)
    .catch(() => undefined);
  if (owner === undefined) return age > OWNERLESS_MS;
  return owner.host === hostname() && !isAlive(owner.pid);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: the process exists and belongs to another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
