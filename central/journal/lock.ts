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
 * Locks of journals. `<journal>.lock` is a folder that contains one file, named after the process that holds the lock:
 *
 *   free (no folder, or an empty one) --take--> held --release, or the holder is found dead--> free
 *
 *   1. A process takes the lock by one rename of a prepared folder, with its file in it, to the name of the lock. The system
 *      refuses the rename where that folder is not empty, so one of several processes succeeds.
 *   2. The file of a dead holder is removed by its name, which no other holder has. So a process never removes the lock of a
 *      living one, however long ago it looked.
 */

/** Centrals of one machine, state directory and broker at a time. */
const MAX_JOURNALS = 8;
/** A prepared folder; the group is the name of its process. */
const PREPARED = /\.lock\.([0-9]+-[0-9a-z]+)$/;

/** A journal file that no other process uses. */
export interface JournalLock {
  readonly file: string;
  /** Whether this process still holds the lock, or could take it again after the folder of journals was removed. */
  readonly isOurs: () => boolean;
  /** Releases the lock; the journal stays. */
  release(): void;
}

/**
 * Locks a journal of a base topic at a broker, in `<stateDir>/journal`: the first one that no living process holds. So a
 * restarted central finds the journal of its earlier run, and a standby on the same machine has a journal of its own.
 * Throws TESSERA_CONFIG where all are locked, TESSERA_STORAGE where none can be made.
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

/** Removes the file of one holder, and the folder where it is empty then. */
function free(lock: string, holder: string): void {
  rmSync(join(lock, holder), { force: true });
  try {
    rmdirSync(lock);
  } catch {
    // Another process holds the lock, or has removed the folder.
  }
}

/** Removes the lock file of earlier versions, which had no folder. `unlink` removes no folder. */
function removeOldLock(lock: string): void {
  try {
    unlinkSync(lock);
  } catch (error) {
    if (!['ENOENT', 'EISDIR', 'EPERM'].includes(systemCodeOf(error) ?? '')) throw error;
  }
}

/** Removes the prepared folders of processes that were killed meanwhile. */
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

/** Whether the process `<pid>-<start>` lives; a pid is used again, but not with the same starting time. */
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

/** When a process started, in clock ticks since boot (proc(5), field 22 of stat); `unknown` on other systems. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? 'unknown';
}
