import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type Place, storageError } from '../../shared/storage-fault.ts';

/** What room consists of; no line ends in it, so that a text that was torn there has no end either. */
export const ROOM = ' ';
/** Disks give room by the page. */
const PAGE = 4096;

/**
 * A text file that grows at its end and keeps room there: spaces that later text takes the place of, so that what is to
 * follow can be written on a disk that is full by then.
 *
 *   text that counts | spaces, `room` or more
 *
 *   1. A text is there whole, with the room that was asked for behind it, or it does not count: the next one is written
 *      where it was to begin. Whoever reads the file finds at most one torn text, behind all that count.
 *   2. A file that was removed or replaced by others is not written to: nobody would find it there.
 */
export class PreallocatedFile {
  readonly #place: Place;
  readonly #fd: number;
  #end: number;
  #size: number;

  /** Opens a file whose first `end` bytes count. Throws TESSERA_STORAGE. */
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

  /** Adds a text and sees to `room` bytes behind it. Throws TESSERA_STORAGE, and then the text does not count. */
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

  /** Whether the file has lost its name. */
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
        // Spaces say nothing.
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
