import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import { elsewhereOf } from '../../shared/runtime/state-directory.ts';
import { makeWhole } from '../../shared/runtime/whole-file.ts';

/** Centrals of one machine, state directory and broker at a time. */
const SLOTS = 8;

/** A journal file that no other process uses. */
export interface Slot {
  readonly file: string;
  /** Leaves it to others; the file stays. */
  release(): void;
}

/**
 * Takes a journal for a base at a broker, in `<stateDir>/journal`: the first one that no living process uses, so that
 * a central that is started again finds what its predecessor left, and a standby on the same machine has its own.
 * Throws TESSERA_CONFIG where all are in use.
 */
export async function takeSlot(stateDir: string, url: string, base: string): Promise<Slot> {
  const folder = join(stateDir, 'journal');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { protocol, host, pathname } = new URL(url);
  const name = createHash('sha256').update(`${protocol}//${host}${pathname} ${base}`).digest('hex').slice(0, 12);
  for (let k = 1; k <= SLOTS; k++) {
    const file = join(folder, `${name}-${k}`);
    if (await lock(`${file}.lock`)) return { file, release: () => rmSync(`${file}.lock`, { force: true }) };
  }
  throw new TesseraError('TESSERA_CONFIG', `${SLOTS} centrals use ${folder} at a time`, {
    hint: 'give each its own state directory with STATE_DIRECTORY',
  });
}

async function lock(file: string): Promise<boolean> {
  const own = `${process.pid} ${startOf(process.pid)}`;
  const place = { what: 'the lock of the journal', path: file, elsewhere: elsewhereOf(file) };
  if (await makeWhole(place, own)) return true;
  if (isHeld(read(file))) return false;
  // Left by a process that is gone. Whoever removes it need not be the one who gets it.
  rmSync(file, { force: true });
  return makeWhole(place, own);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Whether the process that wrote a lock lives; numbers are given again, starting times with them are not. */
function isHeld(text: string): boolean {
  const [pid, start] = text.split(' ');
  if (pid === undefined || !/^[1-9][0-9]*$/.test(pid)) return false;
  try {
    process.kill(Number(pid), 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return startOf(Number(pid)) === start;
}

/** When a process began, in ticks since the machine did (proc(5), field 22 of stat); `?` where that is not told. */
function startOf(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '?';
}
