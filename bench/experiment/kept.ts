import { existsSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { readText } from '../../shared/runtime/file.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { writeWhole } from '../../shared/runtime/whole-file.ts';

/** The results of an experiment, kept cell by cell, so that it goes on where it was ended. */

/** The machine on which cells were measured. */
interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
}

/** The file of an experiment: results by the keys of cells. */
export interface Kept {
  readonly experiment: string;
  readonly machine: Machine;
  readonly cells: Readonly<Record<string, unknown>>;
}

/** Reads what was kept of an experiment on a machine like this one; nothing of it where it is another one. */
export async function readKept(folder: string, experiment: string): Promise<Kept> {
  const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version };
  const path = join(folder, `${experiment}.json`);
  const empty = { experiment, machine, cells: {} };
  if (!existsSync(path)) return empty;
  const kept = JSON.parse(await readText(path)) as Kept;
  return JSON.stringify(kept.machine) === JSON.stringify(machine) ? kept : empty;
}

/** Writes the file of an experiment, with its table and its plot beside it. */
export async function writeKept(folder: string, kept: Kept, table: string, plot: string | undefined): Promise<void> {
  makePath(folder);
  const write = (end: string, text: string): Promise<void> =>
    writeWhole(
      { what: 'the results', path: join(folder, `${kept.experiment}.${end}`), elsewhere: 'name it with --out' },
      text,
    );
  await write('json', `${JSON.stringify(kept)}\n`);
  await write('md', table);
  if (plot !== undefined) await write('svg', plot);
}
