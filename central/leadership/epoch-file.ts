import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { elsewhereOf } from '../../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../../shared/runtime/whole-file.ts';

/** The highest epoch of a central's earlier runs, in its state directory: a claim of this run has to be above it. */
export class EpochFile {
  readonly #path: string;

  constructor(stateDir: string) {
    this.#path = join(stateDir, 'epoch');
  }

  /** The kept epoch; 0 where there is none that can be read. */
  get last(): number {
    try {
      const epoch = Number(readFileSync(this.#path, 'utf8'));
      return Number.isSafeInteger(epoch) ? epoch : 0;
    } catch {
      return 0;
    }
  }

  /** Keeps an epoch where it is above the kept one. Throws TESSERA_STORAGE. */
  keep(epoch: number): void {
    const place = { what: "central's epoch", path: this.#path, elsewhere: elsewhereOf(this.#path) };
    writeWholeSync(place, String(Math.max(epoch, this.last)));
  }
}
