import { join } from 'node:path';
import { makeFolder } from '../shared/runtime/folder.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWhole } from '../shared/runtime/whole-file.ts';

/**
 * Shows the secrets of invited users: on a terminal, or where --invite-file says. The output of a service is not used,
 * because its log is stored and others may read it.
 */

/** How a command shows secrets. */
export interface SecretOutputOptions {
  /** The value of --invite-file: a file, or - for standard output. */
  readonly file: string | undefined;
  /** The default folder of secrets: one file for each name. */
  readonly folder: string;
  readonly isTerminal: boolean;
  /** Shows a line that holds a secret. */
  readonly show: (line: string) => void;
  /** Prints the file's path. */
  readonly note: (text: string) => void;
}

/** Shows secrets. */
export class SecretOutput {
  readonly #options: SecretOutputOptions;
  readonly #lines: string[] = [];

  constructor(options: SecretOutputOptions) {
    this.#options = options;
  }

  /** Shows `line`, the secret of `name`; throws TESSERA_STORAGE where its file cannot be written. */
  async tell(name: string, line: string): Promise<void> {
    const { file, folder, isTerminal, show, note } = this.#options;
    if (file === '-' || (file === undefined && isTerminal)) {
      show(line);
      return;
    }
    if (file !== undefined) {
      this.#lines.push(line);
      await writeWhole({ what: 'the secrets of invited users', path: file }, `${this.#lines.join('\n')}\n`);
      note(`${name} is invited: ${file} contains how it joins`);
      return;
    }
    await makeFolder({ what: 'the folder of invitations', path: folder, elsewhere: elsewhereOf(folder) });
    const path = join(folder, name);
    await writeWhole({ what: 'an invitation', path, elsewhere: elsewhereOf(path) }, `${line}\n`);
    note(`${name} is invited: ${path} contains how it joins; remove the file afterwards (--invite-file - prints it)`);
  }
}
