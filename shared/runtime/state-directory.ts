import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Where this program keeps what must survive a restart (node id, pieces of models, secrets): `$STATE_DIRECTORY`, which
 * systemd sets, else /var/lib/tessera for root, else ~/.local/state/tessera.
 */
export function stateDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env.STATE_DIRECTORY?.split(':')[0];
  if (given !== undefined && given !== '') return given;
  return process.getuid?.() === 0 ? '/var/lib/tessera' : join(homedir(), '.local', 'state', 'tessera');
}

/** The state directory, made if it was missing, readable by its owner only. */
export async function makeStateDirectory(
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const folder = stateDirectory(env);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return folder;
}
