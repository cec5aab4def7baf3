import { homedir, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { TesseraError } from '../errors.ts';
import { makeFolder } from './folder.ts';

/**
 * The folder of state that survives a restart (node id, blobs, secrets): `$STATE_DIRECTORY`, which systemd sets, else
 * /var/lib/tessera for root, else ~/.local/state/tessera. Throws TESSERA_STORAGE for a user without a home folder.
 */
export function stateDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env.STATE_DIRECTORY?.split(':')[0];
  if (given !== undefined && given !== '') return given;
  return process.getuid?.() === 0 ? '/var/lib/tessera' : join(home(), '.local', 'state', 'tessera');
}

/** The home folder of this user; in containers a user may have none. */
function home(): string {
  try {
    return homedir();
  } catch (cause) {
    throw new TesseraError('TESSERA_STORAGE', 'this user has no home folder to keep state in', {
      hint: 'set STATE_DIRECTORY to a folder that this user may write',
      cause,
    });
  }
}

/** The state directory, created if needed, readable by its owner only. Throws TESSERA_STORAGE. */
export async function makeStateDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  return makeFolder({
    what: 'the state directory',
    path: stateDirectory(env),
    elsewhere: elsewhereOf(stateDirectory(env)),
  });
}

/** How to move the file at this path elsewhere (state directory or temporary folder): the end of a hint. */
export function elsewhereOf(path: string): string {
  const isWithin = (folder: string): boolean => !/^\.\.|^[/\\]/.test(relative(folder, path));
  const setting = isWithin(tmpdir()) && !isWithin(stateDirectory()) ? 'TMPDIR' : 'STATE_DIRECTORY';
  return `set ${setting} to a folder that this user may write`;
}
