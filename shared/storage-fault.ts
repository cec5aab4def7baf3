import { TesseraError } from './errors.ts';

/** A file or folder of this program, as errors name it. */
export interface Place {
  /** What it is, in words: `the credentials`. */
  readonly what: string;
  readonly path: string;
  /** How to store it elsewhere, as the end of a sentence: `set STATE_DIRECTORY to another folder`. */
  readonly elsewhere?: string | undefined;
}

interface Reason {
  readonly why: string;
  /** What to do; `at` is where it failed. */
  readonly todo: (at: string) => string;
}

const room = (at: string): string => (at === '' ? 'make room: df -h' : `make room there: df -h ${at}`);
const rights = (at: string): string => `let the user of this process write ${at}`;
const REASONS: Readonly<Record<string, Reason>> = {
  ENOSPC: { why: 'the disk is full', todo: room },
  EDQUOT: { why: 'the quota of this user is used up', todo: room },
  EFBIG: { why: 'the file would be larger than this user or file system may have one', todo: () => 'raise ulimit -f' },
  EROFS: { why: 'the file system is read-only', todo: (at) => `mount what ${at} lies on for writing` },
  EACCES: { why: 'this user may not do that', todo: rights },
  EPERM: { why: 'this user may not do that', todo: rights },
  ENOENT: { why: 'the folder that it lies in is not there', todo: (at) => `make that folder: ${at}` },
  ENOTDIR: { why: 'a part of its path is a file, not a folder', todo: () => 'move that file away' },
  EEXIST: { why: 'it is a file, not a folder', todo: (at) => `move that file away: ${at}` },
  EISDIR: { why: 'it is a folder, not a file', todo: (at) => `move that folder away: ${at}` },
  EMFILE: { why: 'this process has too many files open', todo: () => 'raise ulimit -n' },
  ENFILE: { why: 'this machine has too many files open', todo: () => 'raise the sysctl fs.file-max' },
  EIO: { why: 'the disk has a fault', todo: () => 'look at dmesg, and replace the disk' },
};

/** The code that the system gives for a fault of a file (`ENOSPC`); undefined for errors of another kind. */
export function systemCodeOf(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** Why a file or folder could not be used, in words: `the disk is full (ENOSPC)`. */
export function reasonOf(error: unknown): string {
  const code = systemCodeOf(error);
  if (code === undefined) return error instanceof Error ? error.message : String(error);
  const { why } = REASONS[code] ?? {};
  return why === undefined ? (error as Error).message : `${why} (${code})`;
}

/**
 * The coded error TESSERA_STORAGE for what the system says of a file or folder: what it is, where, why, and what to do.
 * `done` is what could not be done to it: `written`. A coded error stays as it is.
 */
export function storageError(error: unknown, place: Place, done = 'written'): TesseraError {
  if (error instanceof TesseraError) return error;
  const { what, path, elsewhere } = place;
  const { path: failed } = error as { path?: unknown };
  // The system names what it stopped at: a parent folder, or a temporary file beside it, which does not help users.
  const at = typeof failed === 'string' && path.startsWith(`${failed}/`) ? failed : path;
  const todo = REASONS[systemCodeOf(error) ?? '']?.todo(culpritOf(at, error));
  const hint = [todo, elsewhere].filter((text) => text !== undefined).join(', or ');
  const where = at === path ? '' : `, at ${at}`;
  return new TesseraError(
    'TESSERA_STORAGE',
    `${[what, path].filter((text) => text !== '').join(' ')} cannot be ${done}: ${reasonOf(error)}${where}`,
    {
      hint: hint === '' ? 'check the disk, and who may read and write there' : hint,
      cause: error,
    },
  );
}

/** Calls that name the folder that they work in; of other things the folder above has to let them be made. */
const CALLS_OF_FOLDERS = ['access', 'mkdtemp', 'scandir', 'chmod'];

/** Where something has to be done. */
function culpritOf(path: string, error: unknown): string {
  const { syscall } = error as { syscall?: unknown };
  const isItself =
    ['EEXIST', 'EISDIR'].includes(systemCodeOf(error) ?? '') || CALLS_OF_FOLDERS.includes(String(syscall));
  return isItself || path === '' ? path : path.replace(/[/\\][^/\\]*$/, '') || '/';
}
