import type { Failure } from '../shared/errors.ts';
import { plain } from '../shared/log-throttle.ts';
import { endProcess } from '../shared/runtime/native-calls.ts';
import { standardError } from '../shared/runtime/standard-error.ts';
import { storageError } from '../shared/storage-fault.ts';
import { withOwnCommand } from './own-command.ts';

/** Where results go. Standard output carries results and nothing else; all else goes to standard error. */
export interface Output {
  /** A line for people, on standard output. */
  line(text: string): void;
  /** A value for programs, on standard output: one line of JSON. */
  json(value: unknown): void;
  /** A remark on standard error: warnings, hints; its commands are printed so that they can be typed. */
  note(text: string): void;
  /** A line about the progress of long work, on standard error where that is a terminal. */
  progress(text: string): void;
  /** A value for programs that is no result: one line of JSON on standard error. */
  event(value: unknown): void;
}

/** Standard output and standard error. A reader that goes away (`tessera watch | head -1`) ends the program quietly. */
export function standardOutput(): Output {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') endProcess(0);
    // Results that cannot be written are not passed over.
    throw storageError(error, { what: 'standard output', path: '' });
  });
  const remarks = standardError();
  return {
    line: (text) => void process.stdout.write(`${text}\n`),
    json: (value) => void process.stdout.write(`${JSON.stringify(value)}\n`),
    note: (text) => void remarks.write(`${withOwnCommand(text)}\n`),
    progress: (text) => {
      if (process.stderr.isTTY === true) remarks.write(`${text}\n`);
    },
    event: (value) => void remarks.write(`${JSON.stringify(value)}\n`),
  };
}

/** An error as the two lines that every command prints to standard error. */
export function failureLines({ code, message, hint }: Failure): string {
  return `error ${code}: ${message}${hint === undefined ? '' : `\nhint: ${hint}`}`;
}

/** A column of a table; numbers are right-aligned. */
export interface Column<Row> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly cell: (row: Row) => string;
}

/** Rows as aligned text, a title line first; no trailing spaces. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => plain(cell(row))))];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]!.length)));
  return cells.map((line) =>
    line
      .map((text, index) =>
        columns[index]!.align === 'right' ? text.padStart(widths[index]!) : text.padEnd(widths[index]!),
      )
      .join('  ')
      .trimEnd(),
  );
}
