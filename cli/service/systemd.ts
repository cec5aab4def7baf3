import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TesseraError } from '../../shared/errors.ts';
import { type Service, unitName } from './unit.ts';

/** Where units of the administrator lie. */
export const UNIT_FOLDER = '/etc/systemd/system';

/** The unit file of a service. */
export function unitFile(service: Service): string {
  return join(UNIT_FOLDER, unitName(service));
}

/** Runs `systemctl` and returns what it prints. Throws TESSERA_CONFIG where it fails. */
export async function systemctl(...words: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)('systemctl', words)).stdout;
  } catch (error) {
    const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
    throw new TesseraError('TESSERA_CONFIG', `systemctl ${words.join(' ')}: ${(stderr || message).trim()}`, {
      hint: 'services need systemd, and root to install and remove them',
      cause: error,
    });
  }
}
