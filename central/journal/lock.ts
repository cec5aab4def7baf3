import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import { makeFolder } from '../../shared/runtime/folder.ts';
import { elsewhereOf } from '../../shared/runtime/state-directory.ts';
import { storageError, systemCodeOf } from '../../shared/storage-fault.ts';

/**
 * Who writes which journal. `<journal>.lock` is a folder that holds one file, named by the process that has the journal:
 *
 *   free (no folder, or an empty one) --take--> held --release, or its holder is found dead--> free
 *
 *   1. A folder with its file in it takes the name in one step (rename), which the system refuses where the folder of that
 *      name is not empty: of several processes that take, one does.
 *   2. Of a holder that is dead the file is removed by its name, which no other holder has. So nobody removes the lock of
 *      somebody alive, however long ago he looked.
 */

/** Centrals of one machine, state directory and broker at a time. */
const MAX_JOURNALS = 8;
/** A process that prepares a lock. */
const PREPARED = /\.lock\.([0-9]+-[0-9a-z]+)$/;

/** A journal file that no other process uses. */
export interface JournalLock {
  readonly file: string;
  /** Whether it is still this process's, or could be taken again after somebody removed the folder of journals. */
  readonly isOurs: () => boolean;
  /** Leaves it to others; the file stays. */
  release(): void;
}

/**
 * Takes a journal for a base at a broker, in `<stateDir>/journal`: the first one that no living process uses, so that
 * a central that is started again finds what its predecessor left, and a standby on the same machine has its own.
 * Throws TESSERA_CONFIG where all are in use, TESSERA_STORAGE where none can be made.
 */
export async function lockJournal(stateDir: string, url: string, base: string): Promise<JournalLock> {
  const folder = join(stateDir, 'journal');
  const place = { what: 'the folder of journals', path: folder, elsewhere: elsewhereOf(folder) };
  await makeFolder(place);
  const { protocol, host, pathname } = new URL(url);
  const name = createHash('sha256').update(`${protocol}//${host}${pathname} ${base}`).digest('hex').slice(0, 12);
  const self = `${process.pid}-${startOf(process.pid)}`;
  try {
    removePrepared(folder);
    for (let k = 1; k <= MAX_JOURNALS; k++) {
      const file = join(folder, `${name}-${k}`);
      const lock = `${file}.lock`;
      if (!take(lock, self)) continue;
      const isOurs = (): boolean => namesIn(lock).includes(self) || take(lock, self);
      return { file, isOurs, release: () => free(lock, self) };
    }
  } catch (error) {
    throw storageError(error, place);
  }
  throw new TesseraError('TESSERA_CONFIG', `${MAX_JOURNALS} centrals use ${folder} at a time`, {
    hint: 'give each its own state directory with STATE_DIRECTORY',
  });
}

function take(lock: string, self: string): boolean {
  const prepared = `${lock}.${self}`;
  rmSync(prepared, { recursive: true, force: true });
  try {
    mkdirSync(prepared, { mode: 0o700 });
    writeFileSync(join(prepared, self), '');
    for (;;) {
      const holders = namesIn(lock);
      if (holders.some(isAlive)) return false;
      for (const holder of holders) free(lock, holder);
      try {
        renameSync(prepared, lock);
        return true;
      } catch (error) {
        const code = systemCodeOf(error);
        if (code === 'ENOTDIR') {
          if (isAlive(read(lock).replace(' ', '-'))) return false;
          removeOldLock(lock);
        } else if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'EPERM') throw error;
      }
    }
  } finally {
    rmSync(prepared, { recursive: true, force: true });
  }
}

/** Takes the file of one holder away, and the folder where it is empty then. */
function free(lock: string, holder: string): void {
  rmSync(join(lock, holder), { force: true });
  try {
    rmdirSync(lock);
  } catch {
    // Somebody else has it, or has removed it.
  }
}

/** Earlier versions had a file in place of the folder. Unlinking takes no folder away. */
function removeOldLock(lock: string): void {
  try {
    unlinkSync(lock);
  } catch (error) {
    if (!['ENOENT', 'EISDIR', 'EPERM'].includes(systemCodeOf(error) ?? '')) throw error;
  }
}

/** What processes left that were killed while they prepared a lock. */
function removePrepared(folder: string): void {
  for (const name of readdirSync(folder)) {
    const owner = PREPARED.exec(name)?.[1];
    if (owner !== undefined && !isAlive(owner)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Whether a process lives that is named `<number>-<start>`; numbers are given again, starting times with them are not. */
function isAlive(name: string): boolean {
  const [pid, start] = name.split('-');
  if (pid === undefined || !/^[1-9][0-9]*$/.test(pid)) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if (systemCodeOf(error) !== 'EPERM') return false;
  }
  return startOf(Number(pid)) === start;
}

/** When a process began, in ticks since the machine did (proc(5), field 22 of stat); `unknown` where that is not told. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'unknown';
}
