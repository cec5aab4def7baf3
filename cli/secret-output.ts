import { join } from 'node:path';
import { makeFolder } from '../shared/runtime/folder.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWhole } from '../shared/runtime/whole-file.ts';

/**
 * Where secrets of those who are invited are shown: on a terminal, or where somebody asked for. What a service prints is in
 * a journal for ever, and others may read that.
 */

/** How a command shows secrets. */
export interface SecretOutputOptions {
  /** What --invite-file says: a file, or - for where a terminal would be. */
  readonly file: string | undefined;
  /** Where secrets lie that nobody asked for: one file for each name. */
  readonly folder: string;
  readonly isTerminal: boolean;
  /** Shows a line that holds a secret. */
  readonly show: (line: string) => void;
  /** Says where it is. */
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
      await writeWhole({ what: 'the secrets of those who are invited', path: file }, `${this.#lines.join('\n')}\n`);
      note(`${name} is invited: ${file} says how it comes in`);
      return;
    }
    await makeFolder({ what: 'the folder of invitations', path: folder, elsewhere: elsewhereOf(folder) });
    const path = join(folder, name);
    await writeWhole({ what: 'an invitation', path, elsewhere: elsewhereOf(path) }, `${line}\n`);
    note(`${name} is invited: ${path} says how it comes in; remove it when that is done (--invite-file - prints it)`);
  }
}
