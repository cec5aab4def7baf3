import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type Place, storageError } from '../../shared/storage-fault.ts';

/** The character that fills reserved space. It is no line end, so a torn text has no line end either. */
export const ROOM = ' ';
/** Disks allocate whole pages. */
const PAGE = 4096;

/**
 * An append-only text file with reserved space at its end: spaces that later text overwrites, so that the text can be
 * written on a disk that is full by then.
 *
 *   valid text | spaces, at least `room`
 *
 *   1. A text is valid once it is written whole, with the requested room behind it. Otherwise the next text overwrites it: a
 *      reader finds at most one torn text, behind all valid ones.
 *   2. A file that another process removed or replaced is not written any more (`isGone`).
 */
export class PreallocatedFile {
  readonly #place: Place;
  readonly #fd: number;
  #end: number;
  #size: number;

  /** Opens a file whose first `end` bytes are valid. Throws TESSERA_STORAGE. */
  constructor(place: Place, end: number) {
    this.#place = place;
    this.#end = end;
    try {
      this.#fd = openSync(place.path, 'r+');
      this.#size = fstatSync(this.#fd).size;
    } catch (error) {
      throw storageError(error, place);
    }
  }

  /** Appends a text and reserves `room` bytes behind it. Throws TESSERA_STORAGE; the text is not valid then. */
  append(text: string, room: number): void {
    const bytes = Buffer.from(text);
    const wanted = this.#end + bytes.byteLength + room;
    try {
      if (wanted > this.#size) this.#grow(Math.ceil(wanted / PAGE) * PAGE);
      this.#write(bytes, this.#end);
    } catch (error) {
      throw storageError(error, this.#place);
    }
    this.#end += bytes.byteLength;
  }

  /** Whether the file was removed or replaced. */
  get isGone(): boolean {
    return fstatSync(this.#fd).nlink === 0;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #grow(size: number): void {
    try {
      this.#write(Buffer.alloc(size - this.#size, ROOM), this.#size);
    } catch (error) {
      try {
        ftruncateSync(this.#fd, this.#size);
      } catch {
        // More spaces than needed do no harm.
      }
      throw error;
    }
    this.#size = size;
  }

  #write(bytes: Uint8Array, at: number): void {
    for (let done = 0; done < bytes.byteLength; )
      done += writeSync(this.#fd, bytes, done, bytes.byteLength - done, at + done);
  }
}
