import { readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import { type MessageRecord, type RecordState, recordHead, type StoredRecord } from './message-records.ts';
import { SegmentFile } from './segment-file.ts';

/**
 * Messages that the broker has acknowledged and their receiver has not, in files of a folder of its own: frames for
 * central, and sessions of other clients (client-session-store.ts).
 *
 *   kept-<n>: records (message-records.ts), appended; a file without open records is removed.
 *
 *   1. `put` returns true only when the kernel has the whole record, which then survives a kill -9 of the broker. It is
 *      not flushed: a power cut may lose the last seconds (docs/decisions/0014).
 *   2. A record that could not be written whole is cut off again; where that fails, the file is not appended to any
 *      more.
 *   3. A message is marked as sent before it is written to a connection, and as done when it was acknowledged or
 *      dropped, both in place.
 *   4. The files take at most about twice the bound, and one file more: above that the open records of the emptiest
 *      file move to the end.
 *   5. The newest two files stay even when all their records are done: they tell a repetition from a new frame.
 */

/** Reports a fault of the store. */
export type OnFault = (text: string, error: unknown) => void;

/** What a store contains, in words. */
export interface StoreKind {
  /** One item, and all of them. */
  readonly one: string;
  readonly what: string;
  /** The consequence of a full disk. */
  readonly refused: string;
  /** The way out where the folder cannot be made. */
  readonly hint: string;
  /** A folder beside this one that was not written to for so long is removed. */
  readonly staleMs: number;
}

/** Frames stored for central; none is stored for a day. */
export const FRAMES: StoreKind = {
  one: 'frame',
  what: 'frames stored for central',
  refused: 'a frame cannot be stored for central and is not acknowledged: its publisher has to send it again',
  hint: 'set STATE_DIRECTORY to a folder that this user may write, or broker.keep_frames_s to 0',
  staleMs: 24 * 3600 * 1000,
};

const NAME = /^kept-(\d{1,12})$/;
const KEPT_FILES = 2;
const MIN_FILE_BYTES = 2 ** 20;
const MAX_FILE_BYTES = 64 * 2 ** 20;
/** A file that was not written to for so long is not appended to. */
const IDLE_MS = 3600 * 1000;

/** An open store. */
export class MessageStore {
  readonly #folder: string;
  readonly #bytes: number;
  readonly #fileBytes: number;
  readonly #onFault: OnFault;
  readonly #kind: StoreKind;
  readonly #segments: SegmentFile[] = [];
  readonly #where = new Map<number, SegmentFile>();
  #next = 1;

  private constructor(folder: string, bytes: number, onFault: OnFault, kind: StoreKind) {
    this.#folder = folder;
    this.#kind = kind;
    this.#bytes = bytes;
    this.#fileBytes = Math.min(MAX_FILE_BYTES, Math.max(MIN_FILE_BYTES, Math.ceil(bytes / 16)));
    this.#onFault = onFault;
  }

  /**
   * Opens the store in `folder`, which is made where it is missing, with all records in it by number, also those that
   * are done. `bytes` bounds the open records. Throws TESSERA_CONFIG where the folder cannot be made; on a full disk it
   * opens, and refuses messages.
   */
  static open(
    folder: string,
    bytes: number,
    onFault: OnFault,
    kind = FRAMES,
  ): { store: MessageStore; found: StoredRecord[] } {
    const store = new MessageStore(folder, bytes, onFault, kind);
    try {
      makePath(folder, 0o700);
    } catch (error) {
      if (!isFull(error)) throw folderError(folder, kind, error);
      onFault(`no room for the folder of ${kind.what}`, error);
      return { store, found: [] };
    }
    store.#removeStale();
    return { store, found: store.#load() };
  }

  /** Bytes of all files. */
  get fileBytes(): number {
    return this.#segments.reduce((sum, { size }) => sum + size, 0);
  }

  /** Stores a message; false where it could not be written. */
  put(frame: MessageRecord): boolean {
    const parts = [recordHead(frame), frame.payload];
    try {
      this.#append(frame.number, parts);
    } catch (error) {
      if (!this.#appendInRoomMade(frame.number, parts, error)) return false;
    }
    this.#tidy();
    return true;
  }

  /** Marks a message as sent. */
  sent(number: number): void {
    this.#mark(number, 'sent');
  }

  /** Marks a message as done: it was acknowledged or dropped. */
  done(number: number): void {
    const segment = this.#where.get(number);
    if (segment === undefined) return;
    this.#mark(number, 'done');
    this.#where.delete(number);
    segment.forget(number);
    if (segment.isDone) this.#tidy();
  }

  /** Closes the files; open records stay in them. A store without open records removes its folder. */
  close(): void {
    const isEmpty = this.#where.size === 0;
    for (const segment of [...this.#segments]) {
      if (isEmpty) this.#remove(segment);
      else segment.close();
    }
    this.#segments.length = 0;
    this.#where.clear();
    if (isEmpty) rmSync(this.#folder, { recursive: true, force: true });
  }

  #mark(number: number, state: RecordState): void {
    try {
      this.#where.get(number)?.mark(number, state);
    } catch (error) {
      this.#onFault(`a stored ${this.#kind.one} could not be marked as ${state}`, error);
    }
  }

  /** Throws the system's error. */
  #append(number: number, parts: readonly Buffer[]): void {
    const now = Date.now();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const segment = this.#current(length, now);
    segment.append(number, parts, now);
    this.#where.set(number, segment);
  }

  /** On a full disk removes the files that are kept for repetitions only, and tries again. */
  #appendInRoomMade(number: number, parts: readonly Buffer[], reason: unknown): boolean {
    let why = reason;
    if (isFull(reason)) {
      this.#tidy(0);
      try {
        this.#append(number, parts);
        return true;
      } catch (error) {
        why = error;
      }
    }
    this.#onFault(this.#kind.refused, why);
    return false;
  }

  /** The file to write to; throws the system's error. */
  #current(length: number, now: number): SegmentFile {
    const last = this.#segments.at(-1);
    if (last?.takes(length, this.#fileBytes, now, IDLE_MS) === true) return last;
    makePath(this.#folder, 0o700);
    const segment = SegmentFile.create(join(this.#folder, `kept-${this.#next}`), now);
    this.#next += 1;
    this.#segments.push(segment);
    return segment;
  }

  /** Removes files without open records but the newest, and moves open records where the files take too much space. */
  #tidy(keep = KEPT_FILES): void {
    for (const segment of this.#segments.slice(0, this.#segments.length - keep))
      if (segment.isDone) this.#remove(segment);
    const bound = 2 * this.#bytes + KEPT_FILES * this.#fileBytes;
    while (keep > 0 && this.fileBytes > bound && this.#segments.length > KEPT_FILES) {
      const older = this.#segments.slice(0, -KEPT_FILES);
      const emptiest = older.reduce((a, b) => (b.openShare < a.openShare ? b : a));
      // Moving the records of a file that are nearly all open gains nothing.
      if (emptiest.openShare > 0.9 || !this.#move(emptiest)) return;
    }
  }

  #move(segment: SegmentFile): boolean {
    try {
      for (const number of segment.openNumbers) {
        this.#append(number, [segment.read(number)]);
        segment.forget(number);
      }
    } catch (error) {
      this.#onFault(`${this.#kind.what} could not be moved`, error);
      return false;
    }
    this.#remove(segment);
    return true;
  }

  #remove(segment: SegmentFile): void {
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    try {
      segment.remove();
    } catch (error) {
      this.#onFault(`${segment.path} cannot be removed`, error);
    }
  }

  #load(): StoredRecord[] {
    const numbers = readdirSync(this.#folder).flatMap((name) => NAME.exec(name)?.[1] ?? []);
    const found = new Map<number, StoredRecord>();
    for (const n of numbers.map(Number).sort((a, b) => a - b)) {
      this.#next = n + 1;
      const { file, records, torn } = SegmentFile.load(join(this.#folder, `kept-${n}`));
      if (torn > 0)
        this.#onFault(
          `${file.path} ends in ${torn} bytes that are no whole ${this.#kind.one}: they are left out`,
          undefined,
        );
      this.#segments.push(file);
      for (const record of records) this.#adopt(file, record, found);
    }
    this.#tidy();
    return [...found.values()].sort((a, b) => a.number - b.number);
  }

  /** A message that was being moved when the broker died has two records: the later one counts. */
  #adopt(segment: SegmentFile, record: StoredRecord, found: Map<number, StoredRecord>): void {
    const { number, state } = record;
    this.#where.get(number)?.forget(number);
    this.#where.delete(number);
    const isDone = state === 'done' || found.get(number)?.state === 'done';
    found.set(number, { ...record, payload: isDone ? Buffer.alloc(0) : Buffer.from(record.payload) });
    if (isDone) return;
    segment.track(number, record);
    this.#where.set(number, segment);
  }

  /** Removes sibling folders that were not written to for a long time: those of listeners that no longer exist. */
  #removeStale(): void {
    const parent = dirname(this.#folder);
    for (const entry of readdirSync(parent, { withFileTypes: true })) {
      const folder = join(parent, entry.name);
      if (!entry.isDirectory() || folder === this.#folder) continue;
      try {
        const files = readdirSync(folder);
        const last = Math.max(
          ...[folder, ...files.map((name) => join(folder, name))].map((path) => statSync(path).mtimeMs),
        );
        if (files.every((name) => NAME.test(name)) && Date.now() - last > this.#kind.staleMs)
          rmSync(folder, { recursive: true });
      } catch {
        // Another process removes it at the same time, or this one has no right to.
      }
    }
  }
}

/** Whether an error means a full disk. */
const isFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException)?.code ?? '');

function folderError(folder: string, { what, hint }: StoreKind, cause: unknown): TesseraError {
  const text = `${folder}, the folder of ${what}, cannot be made: ${(cause as Error).message}`;
  return new TesseraError('TESSERA_CONFIG', text, { cause, hint });
}
