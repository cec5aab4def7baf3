import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '../../shared/ports.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { elsewhereOf } from '../../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../../shared/runtime/whole-file.ts';
import { type Place, storageError } from '../../shared/storage-fault.ts';
import {
  acceptedLine,
  endedLine,
  type JournalEntry,
  leavingLine,
  linesOf,
  parseJournal,
  type TakenFrame,
  takenLine,
} from './format.ts';
import { PreallocatedFile, ROOM } from './preallocated-file.ts';

/**
 * Which frames are under way, on disk (format.ts has the form), so that whoever comes after a crash can end them.
 *
 * Written synchronously, before the caller goes on: a frame's entry is with the system before its acknowledgement goes
 * out, so kill -9 loses neither. It is not flushed to the disk line by line: an SD card takes tens of ms for that, and
 * with the power goes the machine's broker connection, its unacknowledged frames and mostly the broker itself. What
 * may be missing after a power cut are the last seconds of entries, never the ones before (docs/decisions/0010).
 *
 *   written --a line cannot be written--> behind --each second, all of them can--> written
 *
 *   1. `before` is what an earlier run left; it is part of the file until `settled`.
 *   2. The file holds all open frames and the last frames that ended, and is rewritten when it has grown to more than
 *      `COMPACT_LINES` lines: its length follows from what is open, not from how long central runs.
 *   3. What the file says is what happened up to some moment: lines get there in order and whole, or wait in memory.
 *      Behind, whoever acts on a line waits for it (`whenWritten`): no frame is acknowledged and no result said of which
 *      a crash would leave nothing.
 *   4. Behind a frame that was taken in there is room for its end (`KEPT`), as far as results are of usual length: a
 *      disk that becomes full keeps frames from being taken in, not from ending.
 *   5. A disk that is full or gone is complained of once a minute, and so is the end of that.
 */
const COMPACT_LINES = 8192;
/** After a compaction that failed: so many lines later the next one. */
const COMPACT_AGAIN_LINES = 1024;
/** Ended frames that are remembered, so that a broker's redelivery of one is known. */
const ENDED_KEPT = 512;
/** Bytes for the end of each open frame, and for those of all. */
const KEPT = { frame: 4096, all: 65536 };
const RETRY_MS = 1000;
const COMPLAIN_MS = 60_000;

interface Unwritten {
  readonly text: string;
  readonly room: number;
}

/** An open journal file. */
export class Journal {
  /** What earlier runs left, open frames and the last ones that ended. */
  readonly before: readonly JournalEntry[];
  readonly #place: Place;
  readonly #log: Log;
  readonly #isOurs: () => boolean;
  readonly #entries = new Map<number, JournalEntry>();
  #file: PreallocatedFile | undefined;
  #unwritten: Unwritten[] = [];
  #written: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lines = 0;
  #compactAt = COMPACT_LINES;
  #open = 0;
  #next = 0;
  #left = 0;
  #complainedAt = Number.NEGATIVE_INFINITY;

  /**
   * Reads and rewrites a journal, or makes one. `isOurs`: whether the file is still this process's to write, once it was
   * found to be gone. Throws TESSERA_STORAGE where it cannot be written; then it is as it was.
   */
  constructor(file: string, log: Log, isOurs: () => boolean = () => true) {
    this.#place = { what: 'the journal', path: file, elsewhere: elsewhereOf(file) };
    this.#log = log;
    this.#isOurs = isOurs;
    const known = parseJournal(this.#read());
    for (const entry of known) {
      this.#entries.set(entry.n, entry);
      this.#next = Math.max(this.#next, entry.n + 1);
      this.#left = Math.max(this.#left, (entry.left ?? -1) + 1);
      if (!entry.ended) this.#open++;
    }
    this.before = known.map((entry) => ({ ...entry }));
    this.#compact();
  }

  /** A frame is taken in; returns its number. */
  take(frame: TakenFrame, i_id?: string): number {
    const n = this.#next++;
    this.#entries.set(n, { n, ...frame, i_id, left: undefined, result: undefined, ended: false });
    this.#open++;
    const text = takenLine(n, frame) + (i_id === undefined ? '' : acceptedLine(n, i_id));
    this.#write(text, roomFor(this.#open));
    return n;
  }

  /** It was accepted under an id. */
  accepted(n: number, i_id: string): void {
    const entry = this.#entries.get(n);
    if (entry === undefined) return;
    entry.i_id = i_id;
    this.#write(acceptedLine(n, i_id));
  }

  /** This result of it, one line, is given to the broker once it is written. */
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
    this.#open--;
    this.#write(endedLine(n));
    if (this.#lines > this.#compactAt) this.#tryToCompact();
  }

  /** Resolves when all that was said so far is written; undefined where it is. Never, where it is closed before. */
  whenWritten(): Promise<void> | undefined {
    if (this.#unwritten.length === 0) return undefined;
    if (this.#written === undefined) {
      let resolve: () => void = () => {};
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#written = { promise, resolve };
    }
    return this.#written.promise;
  }

  /** Frames that are open. */
  get open(): number {
    return this.#open;
  }

  close(): void {
    if (this.#unwritten.length > 0) this.#flush();
    clearTimeout(this.#timer);
    this.#written = undefined;
    this.#file?.close();
    this.#file = undefined;
  }

  #read(): string {
    try {
      return existsSync(this.#place.path) ? readFileSync(this.#place.path, 'utf8') : '';
    } catch (error) {
      throw storageError(error, this.#place, 'read');
    }
  }

  #write(text: string, room = 0): void {
    if (this.#file === undefined) return;
    this.#lines++;
    this.#unwritten.push({ text, room });
    // Behind, the next try is the timer's: a full disk is not asked for each frame.
    if (this.#timer === undefined) this.#flush();
  }

  /** Writes what waits, in order, as far as it goes. */
  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      if (this.#file?.isGone === true) this.#renew();
      else this.#append();
      this.#caughtUp();
    } catch (error) {
      this.#complain(error);
    }
  }

  #append(): void {
    let done = 0;
    try {
      for (const { text, room } of this.#unwritten) {
        this.#file?.append(text, room);
        done++;
      }
    } finally {
      this.#unwritten.splice(0, done);
    }
  }

  /** Somebody removed the file, and perhaps its folder: everything is written anew. */
  #renew(): void {
    makePath(dirname(this.#place.path), 0o700);
    if (!this.#isOurs()) throw new Error(`${this.#place.path} was removed, and is another central's by now`);
    this.#compact();
  }

  #complain(error: unknown): void {
    this.#timer = setTimeout(() => this.#flush(), RETRY_MS);
    this.#timer.unref();
    const now = performance.now();
    if (now - this.#complainedAt < COMPLAIN_MS) return;
    this.#complainedAt = now;
    const { message, hint } = storageError(error, this.#place);
    this.#log.error(`${message}; until it can be, frames wait and no results are said`, { hint });
  }

  #caughtUp(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#complainedAt > Number.NEGATIVE_INFINITY) {
      this.#complainedAt = Number.NEGATIVE_INFINITY;
      this.#log.warn(`the journal ${this.#place.path} is written again`);
    }
    this.#written?.resolve();
    this.#written = undefined;
  }

  #tryToCompact(): void {
    if (this.#unwritten.length > 0) return;
    try {
      this.#compact();
    } catch {
      // The old file is as good, and only longer. Where that cannot grow it is complained of.
      this.#compactAt = this.#lines + COMPACT_AGAIN_LINES;
    }
  }

  /** Rewrites the file with what still matters; a crash or a full disk leaves the old one or the new one. */
  #compact(): void {
    let ended = 0;
    for (const { n } of [...this.#entries.values()].filter((entry) => entry.ended).toReversed())
      if (++ended > ENDED_KEPT) this.#entries.delete(n);
    const text = linesOf([...this.#entries.values()]);
    writeWholeSync(this.#place, text + ROOM.repeat(roomFor(this.#open)));
    const file = new PreallocatedFile(this.#place, Buffer.byteLength(text));
    this.#file?.close();
    this.#file = file;
    this.#lines = this.#entries.size;
    this.#compactAt = COMPACT_LINES;
    this.#unwritten = [];
    this.#caughtUp();
  }
}

const roomFor = (open: number): number => Math.min(KEPT.all, open * KEPT.frame);
