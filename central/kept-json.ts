import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../shared/runtime/whole-file.ts';
import type { z } from '../shared/schema.ts';
import { type Place, systemCodeOf } from '../shared/storage-fault.ts';

/** A small JSON file in central's state directory. */
export class KeptJson<T> {
  readonly #place: Place;
  readonly #schema: z.ZodType<T>;

  /** `what` names the content in errors. */
  constructor(stateDir: string, name: string, what: string, schema: z.ZodType<T>) {
    const path = join(stateDir, name);
    this.#place = { what, path, elsewhere: elsewhereOf(path) };
    this.#schema = schema;
  }

  /** The content; `none` where there is no file or it cannot be read, which is told to `onUnreadable`. */
  read(none: T, onUnreadable: (reason: string) => void): T {
    const { what, path } = this.#place;
    try {
      return this.#schema.parse(JSON.parse(readFileSync(path, 'utf8')));
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT')
        onUnreadable(`${what} cannot be read and will be written anew: ${path}: ${error}`);
      return none;
    }
  }

  /** Throws TESSERA_STORAGE. */
  write(content: T): void {
    writeWholeSync(this.#place, JSON.stringify(content));
  }
}
