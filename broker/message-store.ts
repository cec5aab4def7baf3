import { readdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import { type MessageRecord, type RecordState, recordHead, type StoredRecord } from './message-records.ts';
import { SegmentFile } from './segment-file.ts';

/**
 * What the broker has acknowledged and its receiver has not, in files of a folder that nobody else uses: frames for
 * central, and sessions of other clients (client-session-store.ts).
 *
 *   kept-<n>: records (message-records.ts), appended; a file is removed when nothing in it is open any more.
 *
 *   1. `put` returns true only when the kernel has the whole frame: it then outlives a kill -9 of the broker. It is not
 *      flushed, so that a power cut may lose the last seconds (docs/decisions/0014).
 *   2. What could not be written whole is cut off again, and the file is given up where that fails too.
 *   3. A frame is marked as sent before it is written to a connection, and as done when it was acknowledged or dropped,
 *      both in place.
 *   4. The files take at most about twice what may be kept, and one file more: beyond that what is open in the emptiest
 *      one moves to the end.
 *   5. The newest two files stay, also when all in them is done: they tell a repetition from a new frame.
 */

/** What a store says of its troubles. */
export type OnFault = (text: string, error: unknown) => void;

/** What lies in a store. */
export interface StoreKind {
  /** In words, one and all. */
  readonly one: string;
  readonly what: string;
  /** What it means that there is no room. */
  readonly refused: string;
  /** What to do where the folder cannot be had. */
  readonly hint: string;
  /** What others left in folders beside this one is nobody's any more when nothing was written to it for so long. */
  readonly staleMs: number;
}

/** Frames that are kept for central. No frame is kept for a day. */
export const FRAMES: StoreKind = {
  one: 'frame',
  what: 'frames that are kept for central',
  refused: 'a frame cannot be kept for central and is not acknowledged: its publisher has to send it again',
  hint: 'set STATE_DIRECTORY to a folder that this user may write, or broker.keep_frames_s to 0',
  staleMs: 24 * 3600 * 1000,
};

const NAME = /^kept-(\d{1,12})$/;
const KEPT_FILES = 2;
const MIN_FILE_BYTES = 2 ** 20;
const MAX_FILE_BYTES = 64 * 2 ** 20;
/** A file that was not written to for so long is not gone on with. */
const IDLE_MS = 3600 * 1000;

/** A store at work. */
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
   * Opens the store in `folder`, which is made if it was missing, with everything that lies there: records by their
   * numbers, those that are done too. `bytes` is how much may be kept. Throws TESSERA_CONFIG where the folder cannot be
   * had; a full disk is no reason, frames are refused then.
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

  /** Keeps a frame; false where it could not be written. */
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

  /** A frame is about to be sent. */
  sent(number: number): void {
    this.#mark(number, 'sent');
  }

  /** A message was acknowledged or dropped. */
  done(number: number): void {
    const segment = this.#where.get(number);
    if (segment === undefined) return;
    this.#mark(number, 'done');
    this.#where.delete(number);
    segment.forget(number);
    if (segment.isDone) this.#tidy();
  }

  /** Closes the files; what is open stays in them. Where nothing is, the folder goes too. */
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
      this.#onFault(`a kept ${this.#kind.one} could not be marked as ${state}`, error);
    }
  }

  /** Throws what the system says. */
  #append(number: number, parts: readonly Buffer[]): void {
    const now = Date.now();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const segment = this.#current(length, now);
    segment.append(number, parts, now);
    this.#where.set(number, segment);
  }

  /** On a full disk files go that are kept for repetitions only. */
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

  /** The file to write to; throws what the system says. */
  #current(length: number, now: number): SegmentFile {
    const last = this.#segments.at(-1);
    if (last?.takes(length, this.#fileBytes, now, IDLE_MS) === true) return last;
    makePath(this.#folder, 0o700);
    const segment = SegmentFile.create(join(this.#folder, `kept-${this.#next}`), now);
    this.#next += 1;
    this.#segments.push(segment);
    return segment;
  }

  /** Removes files in which nothing is open, but the newest, and moves what is open where the files take too much. */
  #tidy(keep = KEPT_FILES): void {
    for (const segment of this.#segments.slice(0, this.#segments.length - keep))
      if (segment.isDone) this.#remove(segment);
    const bound = 2 * this.#bytes + KEPT_FILES * this.#fileBytes;
    while (keep > 0 && this.fileBytes > bound && this.#segments.length > KEPT_FILES) {
      const older = this.#segments.slice(0, -KEPT_FILES);
      const emptiest = older.reduce((a, b) => (b.openShare < a.openShare ? b : a));
      // Of a file that is nearly all open, moving gains nothing.
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

  /** A message that was being moved when the broker died lies in two files: the later one is its place. */
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

  /** Removes folders beside this one that nothing was written to for a day: those of listeners that are no more. */
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
        // Somebody else removes it at this moment, or may only he.
      }
    }
  }
}

/** Whether the system says that there is no room. */
const isFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT', 'EFBIG'].includes((error as NodeJS.ErrnoException)?.code ?? '');

function folderError(folder: string, { what, hint }: StoreKind, cause: unknown): TesseraError {
  const text = `${folder}, the folder of ${what}, cannot be made: ${(cause as Error).message}`;
  return new TesseraError('TESSERA_CONFIG', text, { cause, hint });
}
