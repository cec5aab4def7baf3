import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Log } from '../../shared/ports.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { elsewhereOf } from '../../shared/runtime/state-directory.ts';
import { writeWholeSync } from '../../shared/runtime/whole-file.ts';
import { type Place, storageError } from '../../shared/storage-fault.ts';
import {
  type AcceptedFrame,
  acceptedLine,
  endedLine,
  type JournalEntry,
  journalText,
  openedLine,
  parseJournal,
  publishingLine,
} from './format.ts';
import { PreallocatedFile, ROOM } from './preallocated-file.ts';

/**
 * A write-ahead log of the frames under way (format.ts has its form), from which the next run ends them after a crash.
 *
 * Written synchronously, before the caller goes on: the operating system has a frame's entry before the frame is
 * acknowledged, so kill -9 loses neither. Lines are not flushed to the disk one by one: an SD card takes tens of ms for
 * that, and a power cut also takes the machine's broker connection, its unacknowledged frames and mostly the broker itself.
 * A power cut may lose the last seconds of entries, never earlier ones (docs/decisions/0010).
 *
 *   written --a line cannot be written--> behind --every second, once all of them can--> written
 *
 *   1. `before` is what earlier runs left. It stays in the file until the frames have ended and the file is compacted.
 *   2. The file holds all open frames and the last frames that ended. It is compacted when it has more than `COMPACT_LINES`
 *      lines, so its length follows from what is open, not from how long central runs.
 *   3. The file shows the state at some moment: lines are written in order and whole, or wait in memory. While the journal is
 *      behind, callers wait (`whenWritten`) before they acknowledge a frame or publish a result.
 *   4. The file keeps room (`KEPT`) for the end of each accepted frame, as far as results have the usual length: a disk that
 *      becomes full prevents accepting frames, not ending them.
 *   5. A full or missing disk is logged once a minute, and so is its return.
 */
const COMPACT_LINES = 24_576;
/** Lines between a compaction that failed and the next one. */
const COMPACT_AGAIN_LINES = 1024;
/** Ended frames that are kept, so that a frame that the broker delivers again is recognised. */
const ENDED_KEPT = 4096;
/** Bytes kept for the end of each open frame, and for all of them. */
const KEPT = { frame: 4096, all: 1_048_576 };
const RETRY_MS = 1000;
const LOG_AGAIN_MS = 60_000;

interface Unwritten {
  readonly text: string;
  readonly room: number;
}

/** An open journal file. */
export class Journal {
  /** Frames that earlier runs left open, and the last ones that ended. */
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
  #published = 0;
  #loggedAt = Number.NEGATIVE_INFINITY;

  /**
   * Reads and compacts a journal, or makes one. `isOurs`: whether this process may still write the file after the file
   * was removed. Throws TESSERA_STORAGE where the file cannot be written, and leaves it as it was.
   */
  constructor(file: string, log: Log, isOurs: () => boolean = () => true) {
    this.#place = { what: 'the journal', path: file, elsewhere: elsewhereOf(file) };
    this.#log = log;
    this.#isOurs = isOurs;
    const known = parseJournal(this.#read());
    for (const entry of known) {
      this.#entries.set(entry.n, entry);
      this.#next = Math.max(this.#next, entry.n + 1);
      this.#published = Math.max(this.#published, (entry.publishOrder ?? -1) + 1);
      if (!entry.ended) this.#open++;
    }
    this.before = known.map((entry) => ({ ...entry }));
    this.#compact();
  }

  /** A frame is accepted; returns its number. */
  accept(frame: AcceptedFrame, i_id?: string): number {
    const n = this.#next++;
    this.#entries.set(n, { n, ...frame, i_id, publishOrder: undefined, result: undefined, ended: false });
    this.#open++;
    const text = acceptedLine(n, frame) + (i_id === undefined ? '' : openedLine(n, i_id));
    this.#write(text, roomFor(this.#open));
    return n;
  }

  /** The coordinator has opened a frame under an id. */
  opened(n: number, i_id: string): void {
    const entry = this.#entries.get(n);
    if (entry === undefined) return;
    entry.i_id = i_id;
    this.#write(openedLine(n, i_id));
  }

  /** The frame's result, one line, is published once the journal has it. */
  publishing(n: number, result: string): void {
    const entry = this.#entries.get(n);
    if (entry === undefined) return;
    entry.publishOrder = this.#published++;
    entry.result = result;
    this.#write(publishingLine(n, result));
  }

  /** The broker has acknowledged the frame's result, or the frame was skipped. */
  ended(n: number): void {
    const entry = this.#entries.get(n);
    if (entry === undefined || entry.ended) return;
    entry.ended = true;
    entry.result = undefined;
    this.#open--;
    this.#write(endedLine(n));
    if (this.#lines > this.#compactAt) this.#tryToCompact();
  }

  /** Resolves when everything so far is written; undefined where it is. Never resolves once the journal is closed. */
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

  /** Number of open frames. */
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
    // While the journal is behind the timer retries: a full disk is not tried for each frame.
    if (this.#timer === undefined) this.#flush();
  }

  /** Writes the waiting lines, in order, as far as the disk allows. */
  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      if (this.#file?.isGone === true) this.#renew();
      else this.#append();
      this.#caughtUp();
    } catch (error) {
      this.#logFault(error);
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

  /** Makes the file again after it was removed, perhaps with its folder. */
  #renew(): void {
    makePath(dirname(this.#place.path), 0o700);
    if (!this.#isOurs()) throw new Error(`${this.#place.path} was removed, and is another central's by now`);
    this.#compact();
  }

  #logFault(error: unknown): void {
    this.#timer = setTimeout(() => this.#flush(), RETRY_MS);
    this.#timer.unref();
    const now = performance.now();
    if (now - this.#loggedAt < LOG_AGAIN_MS) return;
    this.#loggedAt = now;
    const { message, hint } = storageError(error, this.#place);
    this.#log.error(`${message}; until it can be, frames wait and no results are published`, { hint });
  }

  #caughtUp(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#loggedAt > Number.NEGATIVE_INFINITY) {
      this.#loggedAt = Number.NEGATIVE_INFINITY;
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
      // The old file is as good, and only longer.
      this.#compactAt = this.#lines + COMPACT_AGAIN_LINES;
    }
  }

  /** Rewrites the file without old frames; a crash or a full disk leaves the old file or the new one. */
  #compact(): void {
    let ended = 0;
    for (const { n } of [...this.#entries.values()].filter((entry) => entry.ended).toReversed())
      if (++ended > ENDED_KEPT) this.#entries.delete(n);
    const text = journalText([...this.#entries.values()]);
    writeWholeSync(this.#place, text + ROOM.repeat(roomFor(this.#open)));
    const file = new PreallocatedFile(this.#place, Buffer.byteLength(text));
    this.#file?.close();
    this.#file = file;
    this.#lines = text.split('\n').length;
    this.#compactAt = COMPACT_LINES;
    this.#unwritten = [];
    this.#caughtUp();
  }
}

const roomFor = (open: number): number => Math.min(KEPT.all, open * KEPT.frame);
