import { open, rename } from 'node:fs/promises';

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
