import { randomBytes } from 'node:crypto';
import { link, open, rename, unlink } from 'node:fs/promises';

/**
 * Writes a file that only its owner may read (mode 0600), whole: a crash leaves the old one or the new one. Throws
 * what the system says.
 */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  const next = `${path}.new`;
  const handle = await open(next, 'w', 0o600);
  try {
    // The mode of `open` counts only for a file that was not there.
    await handle.chmod(0o600);
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, path);
}

/**
 * Makes a file that only its owner may read, unless there is one: of several processes that try at once, one makes it,
 * and the others find it whole. Returns whether this one did. Throws what the system says.
 */
export async function makePrivateFile(path: string, content: string): Promise<boolean> {
  const own = `${path}.${randomBytes(6).toString('hex')}`;
  await writePrivateFile(own, content);
  try {
    await link(own, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(own);
  }
}
