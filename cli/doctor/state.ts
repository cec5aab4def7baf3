import { counted } from '../../shared/counted.ts';
import { type Check, checksOf } from './check.ts';

/** A file of the state directory. */
export interface StateFile {
  /** Relative to the state directory. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  readonly readable: boolean;
}

/** What is known of the state directory. */
export interface StateFacts {
  readonly folder: string;
  readonly exists: boolean;
  /** Why nothing can be written there (or the folder not be made); undefined where it can. */
  readonly problem: string | undefined;
  readonly mode: number | undefined;
  /** Pieces of models are no secret and not among them. */
  readonly files: readonly StateFile[];
  readonly freeMb: number | undefined;
  /** The folder for temporary files, and why nothing can be written there. */
  readonly temporary: { readonly folder: string; readonly problem: string | undefined };
  /** Whether the system keeps modes (Windows does not). */
  readonly hasModes: boolean;
}

/** Room for pieces of a network or two. */
const FREE_MB = 500;

const { ok, warn, fail, skip } = checksOf('state');
const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');
const isOpen = (mode: number): boolean => (mode & 0o077) !== 0;

/** Judges the state directory. */
export function judgeState(facts: StateFacts): Check[] {
  return [...judgeFolder(facts), ...judgeTemporary(facts)];
}

/** Only what is wrong with it is worth a line: `infer`, `verify` and `model calibrate` need it. */
function judgeTemporary({ temporary: { folder, problem } }: StateFacts): Check[] {
  if (problem === undefined) return [];
  const fix = 'make the folder, or set TMPDIR to one that this user may write';
  return [fail('temporary files', `nothing can be written in ${folder}: ${problem}`, fix)];
}

function judgeFolder(facts: StateFacts): Check[] {
  const { folder, exists, problem } = facts;
  if (problem !== undefined)
    return [
      fail(
        'state directory',
        `nothing can be kept in ${folder}: ${problem}`,
        'run this as the user that the service runs as, make the folder theirs (chown), or set STATE_DIRECTORY',
      ),
    ];
  if (!exists) return [skip('state directory', `${folder} does not exist yet and will be made`)];
  return [
    ok('state directory', `${folder} can be written`),
    ...(facts.hasModes ? [judgeModes(facts)] : []),
    ...judgeReadable(facts),
    ...judgeRoom(facts),
  ];
}

function judgeModes({ folder, mode, files }: StateFacts): Check {
  const open = files.filter((file) => isOpen(file.mode));
  if (open.length === 0 && (mode === undefined || !isOpen(mode)))
    return ok('secrets', `folder 0700, ${counted(files.length, 'file')} 0600: only their owner reads them`);
  // Behind a closed folder nobody gets at what lies in it.
  if (mode !== undefined && !isOpen(mode))
    return ok('secrets', `folder ${octal(mode)}: only its owner reads what is in it`);
  const named = open.slice(0, 3).map((file) => `${file.path} (${octal(file.mode)})`);
  const more = open.length > 3 ? ` and ${open.length - 3} more` : '';
  const chmod = `chmod -R go= ${folder}`;
  if (open.length === 0)
    return warn('secrets', `others may look into ${folder} (mode ${octal(mode ?? 0)})`, `\`${chmod}\``);
  return fail('secrets', `others on this machine may read ${named.join(', ')}${more}`, `\`${chmod}\``);
}

function judgeReadable({ folder, files }: StateFacts): Check[] {
  const closed = files.filter(({ readable }) => !readable);
  if (closed.length === 0) return [];
  const text = `this user cannot read ${closed.map(({ path }) => path).join(', ')} in ${folder}`;
  return [
    fail('state files', text, 'run this as the user that the service runs as, or give them to that user (chown)'),
  ];
}

function judgeRoom({ folder, freeMb }: StateFacts): Check[] {
  if (freeMb === undefined) return [];
  const text = `${Math.round(freeMb)} MB are free for pieces of models`;
  if (freeMb >= FREE_MB) return [ok('disk', text)];
  return [warn('disk', text, `free some where ${folder} lies; ${folder}/blobs may be deleted while nothing runs`)];
}
