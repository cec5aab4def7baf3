import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
  writevSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import {
  type MessageRecord,
  type RecordState,
  readRecords,
  recordHead,
  STATE_BYTES,
  STATE_OFFSET,
  type StoredRecord,
} from './message-records.ts';

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

interface Place {
  readonly offset: number;
  readonly length: number;
}

interface Segment {
  readonly path: string;
  readonly fd: number;
  size: number;
  readonly open: Map<number, Place>;
  openBytes: number;
  writtenAt: number;
}

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
  readonly #segments: Segment[] = [];
  readonly #where = new Map<number, Segment>();
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

  /** A frame was acknowledged or dropped. */
  done(number: number): void {
    const segment = this.#where.get(number);
    if (segment === undefined) return;
    this.#mark(number, 'done');
    this.#where.delete(number);
    segment.openBytes -= segment.open.get(number)!.length;
    segment.open.delete(number);
    if (segment.open.size === 0) this.#tidy();
  }

  /** Closes the files; what is open stays in them. Where nothing is, the folder goes too. */
  close(): void {
    const isEmpty = this.#where.size === 0;
    for (const segment of [...this.#segments]) {
      if (isEmpty) this.#remove(segment);
      else closeSync(segment.fd);
    }
    this.#segments.length = 0;
    this.#where.clear();
    if (isEmpty) rmSync(this.#folder, { recursive: true, force: true });
  }

  #mark(number: number, state: RecordState): void {
    const segment = this.#where.get(number);
    const place = segment?.open.get(number);
    if (segment === undefined || place === undefined) return;
    try {
      writeSync(segment.fd, Uint8Array.of(STATE_BYTES[state]), 0, 1, place.offset + STATE_OFFSET);
    } catch (error) {
      this.#onFault(`a kept ${this.#kind.one} could not be marked as ${state}`, error);
    }
  }

  /** Throws what the system says. */
  #append(number: number, parts: readonly Buffer[]): void {
    const now = Date.now();
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const segment = this.#current(length, now);
    try {
      const written = writevSync(segment.fd, parts, segment.size);
      if (written < length) throw Object.assign(new Error(`no room after ${written} bytes`), { code: 'ENOSPC' });
    } catch (error) {
      this.#cutOff(segment);
      throw error;
    }
    segment.open.set(number, { offset: segment.size, length });
    segment.openBytes += length;
    segment.size += length;
    segment.writtenAt = now;
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
  #current(length: number, now: number): Segment {
    const last = this.#segments.at(-1);
    const fits = last !== undefined && (last.size === 0 || last.size + length <= this.#fileBytes);
    if (fits && now - last.writtenAt < IDLE_MS) return last;
    makePath(this.#folder, 0o700);
    const path = join(this.#folder, `kept-${this.#next}`);
    const fd = openSync(path, 'wx+', 0o600);
    this.#next += 1;
    const segment: Segment = { path, fd, size: 0, open: new Map(), openBytes: 0, writtenAt: now };
    this.#segments.push(segment);
    return segment;
  }

  #cutOff(segment: Segment): void {
    try {
      ftruncateSync(segment.fd, segment.size);
    } catch {
      // Nothing is appended behind what is torn.
      segment.writtenAt = Number.NEGATIVE_INFINITY;
    }
  }

  /** Removes files in which nothing is open, but the newest, and moves what is open where the files take too much. */
  #tidy(keep = KEPT_FILES): void {
    for (const segment of this.#segments.slice(0, this.#segments.length - keep))
      if (segment.open.size === 0) this.#remove(segment);
    const bound = 2 * this.#bytes + KEPT_FILES * this.#fileBytes;
    while (keep > 0 && this.fileBytes > bound && this.#segments.length > KEPT_FILES) {
      const older = this.#segments.slice(0, -KEPT_FILES);
      const emptiest = older.reduce((a, b) => (b.openBytes / b.size < a.openBytes / a.size ? b : a));
      // Of a file that is nearly all open, moving gains nothing.
      if (emptiest.openBytes > 0.9 * emptiest.size || !this.#move(emptiest)) return;
    }
  }

  #move(segment: Segment): boolean {
    try {
      for (const [number, { offset, length }] of segment.open) {
        const record = Buffer.allocUnsafe(length);
        if (readSync(segment.fd, record, 0, length, offset) < length) throw new Error(`${segment.path} was cut short`);
        this.#append(number, [record]);
        segment.open.delete(number);
        segment.openBytes -= length;
      }
    } catch (error) {
      this.#onFault(`${this.#kind.what} could not be moved`, error);
      return false;
    }
    this.#remove(segment);
    return true;
  }

  #remove(segment: Segment): void {
    this.#segments.splice(this.#segments.indexOf(segment), 1);
    closeSync(segment.fd);
    try {
      unlinkSync(segment.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#onFault(`${segment.path} cannot be removed`, error);
    }
  }

  #load(): StoredRecord[] {
    const numbers = readdirSync(this.#folder).flatMap((name) => NAME.exec(name)?.[1] ?? []);
    const found = new Map<number, StoredRecord>();
    for (const n of numbers.map(Number).sort((a, b) => a - b)) {
      this.#next = n + 1;
      const path = join(this.#folder, `kept-${n}`);
      const fd = openSync(path, 'r+');
      const { size, mtimeMs } = fstatSync(fd);
      const bytes = Buffer.allocUnsafe(size);
      const read = readSync(fd, bytes, 0, size, 0);
      const { records, torn } = readRecords(bytes.subarray(0, read));
      if (torn > 0)
        this.#onFault(
          `${path} ends in ${torn} bytes that are no whole ${this.#kind.one}: they are left out`,
          undefined,
        );
      // Nothing is appended behind what is torn.
      const writtenAt = torn > 0 ? Number.NEGATIVE_INFINITY : mtimeMs;
      const segment: Segment = { path, fd, size: read - torn, open: new Map(), openBytes: 0, writtenAt };
      this.#segments.push(segment);
      for (const record of records) this.#adopt(segment, record, found);
    }
    this.#tidy();
    return [...found.values()].sort((a, b) => a.number - b.number);
  }

  /** A frame that was being moved when the broker died lies in two files: the later one is its place. */
  #adopt(segment: Segment, record: StoredRecord, found: Map<number, StoredRecord>): void {
    const { number, offset, length, state } = record;
    const before = this.#where.get(number);
    if (before !== undefined) {
      before.openBytes -= before.open.get(number)?.length ?? 0;
      before.open.delete(number);
      this.#where.delete(number);
    }
    const isDone = state === 'done' || found.get(number)?.state === 'done';
    found.set(number, { ...record, payload: isDone ? Buffer.alloc(0) : Buffer.from(record.payload) });
    if (isDone) return;
    segment.open.set(number, { offset, length });
    segment.openBytes += length;
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
