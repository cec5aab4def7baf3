import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import type { Log } from '../../shared/ports.ts';
import { type JournalEntry, leavingLine, linesOf, parseJournal, type TakenFrame, takenLine } from './lines.ts';

/**
 * Which frames are under way, on disk (lines.ts has the form), so that whoever comes after a crash can end them.
 *
 * Written synchronously, before the caller goes on: a frame's entry is with the system before its acknowledgement goes
 * out, so kill -9 loses neither. It is not flushed to the disk line by line: an SD card takes tens of ms for that, and
 * with the power goes the machine's broker connection, its unacknowledged frames and mostly the broker itself. What
 * may be missing after a power cut are the last seconds of entries, never the ones before (docs/decisions/0010).
 *
 *   1. `before` is what an earlier run left; it is part of the file until `settled`.
 *   2. The file holds all open frames and the last frames that ended, and is rewritten when it has grown to more than
 *      `COMPACT_LINES` lines: its length follows from what is open, not from how long central runs.
 *   3. A disk that is full or gone costs a complaint, not the service.
 */
const COMPACT_LINES = 8192;
/** Ended frames that are remembered, so that a broker's redelivery of one is known. */
const ENDED_KEPT = 512;

/** An open journal file. */
export class Journal {
  /** What earlier runs left, open frames and the last ones that ended. */
  readonly before: readonly JournalEntry[];
  readonly #file: string;
  readonly #log: Log;
  readonly #entries = new Map<number, JournalEntry>();
  #fd: number | undefined;
  #lines = 0;
  #next = 0;
  #left = 0;
  #complained = false;

  /** Throws what the system says where the file cannot be written. */
  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
    const known = existsSync(file) ? parseJournal(readFileSync(file, 'utf8')) : [];
    for (const entry of known) {
      this.#entries.set(entry.n, entry);
      this.#next = Math.max(this.#next, entry.n + 1);
      this.#left = Math.max(this.#left, (entry.left ?? -1) + 1);
    }
    this.before = known.map((entry) => ({ ...entry }));
    this.#compact();
  }

  /** A frame is taken in; returns its number. */
  take(frame: TakenFrame, i_id?: string): number {
    const n = this.#next++;
    this.#entries.set(n, { n, ...frame, i_id, left: undefined, result: undefined, ended: false });
    this.#write(takenLine(n, frame) + (i_id === undefined ? '' : `= ${n} ${i_id}\n`));
    return n;
  }

  /** It was accepted under an id. */
  accepted(n: number, i_id: string): void {
    const entry = this.#entries.get(n);
    if (entry === undefined) return;
    entry.i_id = i_id;
    this.#write(`= ${n} ${i_id}\n`);
  }

  /** This result of it, one line, is given to the broker now. */
  leaving(n: number, result: string): void {
    const entry = this.#entries.get(n);
    if (entry === undefined) return;
    entry.left = this.#left++;
    entry.result = result;
    this.#write(leavingLine(n, result));
  }

  /** The broker has its result, or it was skipped. */
  ended(n: number): void {
    const entry = this.#entries.get(n);
    if (entry === undefined || entry.ended) return;
    entry.ended = true;
    entry.result = undefined;
    this.#write(`- ${n}\n`);
    if (this.#lines > COMPACT_LINES && this.#fd !== undefined) this.#guarded(() => this.#compact());
  }

  /** Frames that are open, for tests and statistics. */
  get open(): number {
    let open = 0;
    for (const { ended } of this.#entries.values()) if (!ended) open++;
    return open;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(text: string): void {
    this.#lines++;
    this.#guarded(() => {
      if (this.#fd !== undefined) writeSync(this.#fd, text);
    });
  }

  #guarded(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!this.#complained)
        this.#log.error(
          `the journal ${this.#file} cannot be written: ${error}; a crash would leave frames without end`,
        );
      this.#complained = true;
    }
  }

  /** Rewrites the file with what still matters; a crash leaves the old one or the new one. */
  #compact(): void {
    let ended = 0;
    for (const { n } of [...this.#entries.values()].filter((entry) => entry.ended).toReversed())
      if (++ended > ENDED_KEPT) this.#entries.delete(n);
    const next = `${this.#file}.new`;
    const fd = openSync(next, 'w', 0o600);
    writeSync(fd, linesOf([...this.#entries.values()]));
    fsyncSync(fd);
    renameSync(next, this.#file);
    this.close();
    this.#fd = fd;
    this.#lines = this.#entries.size;
  }
}
