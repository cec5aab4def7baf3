import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { CENTRAL, TOPIC } from '../shared/plan/plan.ts';
import { ALL, isNodeId } from '../shared/protocol/topics.ts';
import { readText } from '../shared/runtime/file.ts';
import { makeFolder } from '../shared/runtime/folder.ts';
import { elsewhereOf } from '../shared/runtime/state-directory.ts';
import { writeWhole } from '../shared/runtime/whole-file.ts';

/** What distinguishes boards that were flashed from one image. */
export interface MachineMarks {
  readonly host: string;
  /** The board's serial number; undefined where there is none, as on a PC. */
  readonly serial: string | undefined;
  /** /etc/machine-id; undefined where there is none. */
  readonly machineId: string | undefined;
}

/**
 * A node id for a machine: host name, a dash, four hex digits. They are derived from the board's serial number if there
 * is one, as the machine id is part of the image; `fallback` (four hex digits) is for machines with neither.
 */
export function makeNodeId(marks: MachineMarks, fallback: string): string {
  const host = marks.host
    .toLowerCase()
    .replace(/\..*$/, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 58)
    .replace(/-+$/, '');
  const digits = boardDigits(marks.serial) ?? (marks.machineId === undefined ? fallback : hash4(marks.machineId));
  return `${host === '' ? 'node' : host}-${digits}`;
}

function boardDigits(serial: string | undefined): string | undefined {
  const hex = serial?.toLowerCase().match(/[0-9a-f]{4}$/)?.[0];
  // Boards without a serial number report zeros.
  return hex === undefined || /^0+$/.test(serial ?? '') ? undefined : hex;
}

function hash4(text: string): string {
  return createHash('sha256').update(`tessera-node:${text}`).digest('hex').slice(0, 4);
}

/**
 * The id of this node: `given` if set, else the one stored in `stateDir`, else one made from this machine's serial
 * number or machine id and stored there. Throws TESSERA_CONFIG when `given` is no node id, TESSERA_STORAGE when it
 * cannot be stored.
 */
export async function nodeIdentity(given: string | undefined, stateDir: string): Promise<string> {
  if (given !== undefined) {
    if (isNodeId(given) && given !== CENTRAL && given !== TOPIC) return given;
    throw new TesseraError('TESSERA_CONFIG', `"${given}" cannot be a node's id`, {
      hint: `An id has 1 to 63 lower-case letters, digits and dashes, and is not "${CENTRAL}", "${TOPIC}" or "${ALL}".`,
    });
  }
  const file = join(stateDir, 'node-id');
  const kept = await firstLine(file);
  if (kept !== undefined && isNodeId(kept) && kept !== CENTRAL && kept !== TOPIC) return kept;
  const id = makeNodeId(
    {
      host: hostname(),
      serial: await firstLine('/proc/device-tree/serial-number'),
      machineId: await firstLine('/etc/machine-id'),
    },
    randomBytes(2).toString('hex'),
  );
  const elsewhere = `give an id with --id, or ${elsewhereOf(stateDir)}`;
  await makeFolder({ what: 'the state directory', path: stateDir, elsewhere });
  await writeWhole({ what: "the node's id", path: file, elsewhere }, `${id}\n`);
  return id;
}

/** A name for this run of the process; another one after every restart. */
export function newBootId(): string {
  return randomBytes(8).toString('hex');
}

/** The first line of a small file without NUL bytes (device-tree strings end in one); undefined for none. */
export async function firstLine(file: string): Promise<string | undefined> {
  const text = await readText(file).catch(() => undefined);
  const line = text?.replaceAll('\0', '').split('\n', 1)[0]?.trim();
  return line === '' ? undefined : line;
}
