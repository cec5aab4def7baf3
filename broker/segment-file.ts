import { closeSync, fstatSync, ftruncateSync, openSync, readSync, unlinkSync, writeSync, writevSync } from 'node:fs';
import { type RecordState, readRecords, STATE_BYTES, STATE_OFFSET, type StoredRecord } from './message-records.ts';

/** Where a record lies in its file, bytes. */
interface Extent {
  readonly offset: number;
  readonly length: number;
}

/**
 * One append-only file of records (message-records.ts), and which of them are still open. Methods throw system errors.
 */
export class SegmentFile {
  readonly path: string;
  readonly #fd: number;
  readonly #open = new Map<number, Extent>();
  #size: number;
  #openBytes = 0;
  /** Unix ms; minus infinity where nothing may be appended any more. */
  #writtenAt: number;

  private constructor(path: string, fd: number, size: number, writtenAt: number) {
    this.path = path;
    this.#fd = fd;
    this.#size = size;
    this.#writtenAt = writtenAt;
  }

  /** A new file, which must not exist. */
  static create(path: string, now: number): SegmentFile {
    return new SegmentFile(path, openSync(path, 'wx+', 0o600), 0, now);
  }

  /** An existing file with its records, and how many bytes at its end are no whole record. */
  static load(path: string): { file: SegmentFile; records: readonly StoredRecord[]; torn: number } {
    const fd = openSync(path, 'r+');
    const { size, mtimeMs } = fstatSync(fd);
    const bytes = Buffer.allocUnsafe(size);
    const read = readSync(fd, bytes, 0, size, 0);
    const { records, torn } = readRecords(bytes.subarray(0, read));
    const writtenAt = torn > 0 ? Number.NEGATIVE_INFINITY : mtimeMs;
    return { file: new SegmentFile(path, fd, read - torn, writtenAt), records, torn };
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#size;
  }

  /** The share of its bytes that belong to open records, 0 to 1. */
  get openShare(): number {
    return this.#openBytes / this.#size;
  }

  /** Whether no record in it is open. */
  get isDone(): boolean {
    return this.#open.size === 0;
  }

  /** Numbers of its open records. */
  get openNumbers(): readonly number[] {
    return [...this.#open.keys()];
  }

  /** Whether `length` bytes may be appended: the file has room below `maxBytes` and was written to within `idleMs`. */
  takes(length: number, maxBytes: number, now: number, idleMs: number): boolean {
    return (this.#size === 0 || this.#size + length <= maxBytes) && now - this.#writtenAt < idleMs;
  }

  /** Appends a record; one that could not be written whole is cut off again. */
  append(number: number, parts: readonly Buffer[], now: number): void {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    try {
      const written = writevSync(this.#fd, parts, this.#size);
      if (written < length) throw Object.assign(new Error(`no room after ${written} bytes`), { code: 'ENOSPC' });
    } catch (error) {
      this.#cutOff();
      throw error;
    }
    this.track(number, { offset: this.#size, length });
    this.#size += length;
    this.#writtenAt = now;
  }

  /** Counts a record of the file as open. */
  track(number: number, { offset, length }: Extent): void {
    this.#open.set(number, { offset, length });
    this.#openBytes += length;
  }

  /** Counts a record as open no more. */
  forget(number: number): void {
    this.#openBytes -= this.#open.get(number)?.length ?? 0;
    this.#open.delete(number);
  }

  /** Writes the state of an open record in place. */
  mark(number: number, state: RecordState): void {
    const { offset } = this.#open.get(number)!;
    writeSync(this.#fd, Uint8Array.of(STATE_BYTES[state]), 0, 1, offset + STATE_OFFSET);
  }

  /** The bytes of an open record. */
  read(number: number): Buffer {
    const { offset, length } = this.#open.get(number)!;
    const record = Buffer.allocUnsafe(length);
    if (readSync(this.#fd, record, 0, length, offset) < length) throw new Error(`${this.path} was cut short`);
    return record;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** Closes and removes the file; one that is gone already is no error. */
  remove(): void {
    this.close();
    try {
      unlinkSync(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  #cutOff(): void {
    try {
      ftruncateSync(this.#fd, this.#size);
    } catch {
      // Nothing is appended behind a torn record.
      this.#writtenAt = Number.NEGATIVE_INFINITY;
    }
  }
}
