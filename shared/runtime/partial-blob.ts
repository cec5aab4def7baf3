import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { TesseraError } from '../errors.ts';
import type { BlobWriter } from '../ports.ts';
import { type Place, storageError } from '../storage-fault.ts';
import { elsewhereOf } from './state-directory.ts';
import { takeName } from './whole-file.ts';

/**
 * Blobs under way: files `part-<sha>-<host>-<process>-<random>` beside the whole ones.
 *
 *   open --commit, hash right--> `<sha>`                     open --commit, hash wrong; disk full--> gone
 *   open --abort, process killed--> left --receive of that blob--> open, and the fetch goes on where it ended
 *   left --the blob is there, a day, too many bytes; all at a start--> gone
 *
 * 1. A file grows from its start without a gap, so that its length says how far it came; what arrives out of order
 *    waits in memory, a few MiB at most, beyond which it is dropped.
 * 2. What was left is not believed: the hash of the whole blob decides, however it came together.
 * 3. A file has one writer. It is taken over, by a rename that one process wins, from a process of this host that is
 *    gone, or by the process that left it; files of others that may still live are left alone.
 */

const NAME = /^part-([0-9a-f]{64})-([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{12}$/;
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
/** Interrupted transfers that are older are not resumed. */
const KEPT_MS = 24 * 3600 * 1000;
/** Most bytes of interrupted transfers that are kept, the newest first. */
const KEPT_BYTES = 2e9;
/** A file without a change for so long has no writer. */
const LATELY_MS = 5 * 60_000;
/** Bytes read or hashed at a time, so that a slow CPU's event loop is not held for long. */
const HASH_CHUNK = 256 * 1024;
/** Most bytes that may wait for an earlier chunk. */
const EARLY_BYTES = 4 * 1024 * 1024;

/** Files that this thread writes to. */
const written = new Set<string>();

interface LeftFile {
  readonly path: string;
  readonly sha: string;
  readonly size: number;
  readonly changedMs: number;
}

/** The incomplete blobs of one folder. */
export class PartialBlobs {
  readonly #folder: string;
  readonly #left = new Map<string, LeftFile[]>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Finds interrupted transfers of earlier processes, and removes those that will not be resumed. Never throws. */
  async sweep(): Promise<void> {
    const now = Date.now();
    const found: LeftFile[] = [];
    const names = await readdir(this.#folder).catch(() => []);
    const whole = new Set(names);
    for (const name of names) {
      const [, sha, host, process_] = NAME.exec(name) ?? [];
      const path = join(this.#folder, name);
      if (sha === undefined || written.has(path)) continue;
      const info = await stat(path).catch(() => undefined);
      if (info?.isFile() !== true) continue;
      const file = { path, sha, size: info.size, changedMs: info.mtimeMs };
      const isLeft = host === HOST && isGone(Number(process_));
      // Another thread of this process may be writing it.
      const isFree = Number(process_) !== process.pid || now - file.changedMs > LATELY_MS;
      if (isFree && (now - file.changedMs > KEPT_MS || (isLeft && whole.has(sha)))) await remove(path);
      else if (isLeft) found.push(file);
    }
    found.sort((a, b) => b.changedMs - a.changedMs);
    let bytes = 0;
    for (const file of found) {
      bytes += file.size;
      if (bytes > KEPT_BYTES && now - file.changedMs > LATELY_MS) await remove(file.path);
      else this.#leave(file);
    }
  }

  /** Bytes of a blob that an interrupted transfer stored. */
  arrived(sha: string): number {
    return Math.max(0, ...(this.#left.get(sha) ?? []).map(({ size }) => size));
  }

  /** Opens a writer for a blob, resuming an interrupted transfer. `path` is the blob's own. Throws TESSERA_STORAGE. */
  async receive(path: string, sha: string, size: number): Promise<BlobWriter> {
    const place = { what: 'a blob of a model', path, elsewhere: elsewhereOf(path) };
    const own = join(this.#folder, `part-${sha}-${HOST}-${process.pid}-${randomBytes(6).toString('hex')}`);
    written.add(own);
    try {
      const file = (await this.#takeOver(sha, size, own)) ?? (await open(own, 'wx+', 0o600));
      return await new PartialBlob(file, own, { sha, size, place }, (left) => this.#leave(left)).started();
    } catch (error) {
      written.delete(own);
      throw storageError(error, place);
    }
  }

  async #takeOver(sha: string, size: number, own: string): Promise<FileHandle | undefined> {
    const left = this.#left.get(sha) ?? [];
    left.sort((a, b) => a.size - b.size);
    for (let file = left.pop(); file !== undefined; file = left.pop()) {
      if (file.size > size || file.size === 0) await remove(file.path);
      else if (
        await rename(file.path, own).then(
          () => true,
          () => false,
        )
      )
        return await open(own, 'r+');
    }
    this.#left.delete(sha);
    return undefined;
  }

  #leave(file: LeftFile): void {
    this.#left.set(file.sha, [...(this.#left.get(file.sha) ?? []), file]);
  }
}

interface Wanted {
  readonly sha: string;
  readonly size: number;
  readonly place: Place;
}

class PartialBlob implements BlobWriter {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #wanted: Wanted;
  readonly #onLeft: (file: LeftFile) => void;
  readonly #hash = createHash('sha256');
  /** Chunks that arrived early, by offset. */
  readonly #early = new Map<number, Uint8Array>();
  #earlyBytes = 0;
  /** Bytes in the file, without a gap. */
  #length = 0;
  #arrived = 0;
  #line: Promise<void> = Promise.resolve();
  #fault: unknown;
  #ended = false;

  constructor(file: FileHandle, path: string, wanted: Wanted, onLeft: (file: LeftFile) => void) {
    this.#file = file;
    this.#path = path;
    this.#wanted = wanted;
    this.#onLeft = onLeft;
  }

  get arrived(): number {
    return this.#arrived;
  }

  /** Takes over an interrupted transfer. */
  async started(): Promise<this> {
    const chunk = new Uint8Array(Math.min(this.#wanted.size, HASH_CHUNK));
    for (;;) {
      const { bytesRead } = await this.#file.read(chunk, 0, chunk.byteLength, this.#length);
      if (bytesRead === 0) break;
      this.#hash.update(chunk.subarray(0, bytesRead));
      this.#length += bytesRead;
    }
    this.#arrived = this.#length;
    return this;
  }

  get gap(): { readonly offset: number; readonly length: number } | undefined {
    const { size } = this.#wanted;
    let offset = this.#length;
    for (let next = this.#early.get(offset); next !== undefined; next = this.#early.get(offset))
      offset += next.byteLength;
    if (offset >= size) return undefined;
    return { offset, length: Math.min(size, ...[...this.#early.keys()].filter((key) => key > offset)) - offset };
  }

  async write(offset: number, bytes: Uint8Array): Promise<number> {
    const { sha, size } = this.#wanted;
    if (offset < 0 || offset + bytes.byteLength > size)
      throw new TesseraError('TESSERA_BLOB', `blob ${sha}: ${offset}+${bytes.byteLength} lies beyond ${size} bytes`);
    const { gap } = this;
    if (this.#ended || gap === undefined || offset + bytes.byteLength <= gap.offset) return 0;
    const begin = Math.max(offset, gap.offset);
    if (begin > gap.offset && (this.#earlyBytes > EARLY_BYTES || this.#early.has(begin))) return 0;
    const rest = bytes.subarray(begin - offset);
    this.#early.set(begin, rest);
    this.#earlyBytes += rest.byteLength;
    await this.#advance();
    return rest.byteLength;
  }

  /** Writes the chunks that are next. */
  #advance(): Promise<void> {
    this.#line = this.#line.then(async () => {
      for (let next = this.#early.get(this.#length); next !== undefined; next = this.#early.get(this.#length)) {
        if (this.#fault !== undefined) return;
        try {
          await this.#append(next);
        } catch (error) {
          this.#fault = error;
          return;
        }
      }
    });
    return this.#line.then(() => {
      if (this.#fault !== undefined) throw storageError(this.#fault, this.#wanted.place);
    });
  }

  async #append(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.byteLength - done, this.#length + done);
      done += bytesWritten;
    }
    this.#hash.update(bytes);
    this.#early.delete(this.#length);
    this.#earlyBytes -= bytes.byteLength;
    this.#length += bytes.byteLength;
  }

  async commit(): Promise<void> {
    const { sha, size, place } = this.#wanted;
    await this.#line;
    this.#ended = true;
    let isOpen = true;
    try {
      if (this.#length < size)
        throw new TesseraError('TESSERA_BLOB', `${this.#length} of ${size} bytes came of blob ${sha}`);
      const found = this.#hash.digest('hex');
      if (found !== sha) throw new TesseraError('TESSERA_BLOB', `what came for blob ${sha} has the hash ${found}`);
      await this.#file.sync();
      isOpen = false;
      await this.#file.close();
      await takeName(this.#path, place);
    } catch (error) {
      if (isOpen) await this.#file.close().catch(() => {});
      await remove(this.#path);
      throw storageError(error, place);
    } finally {
      written.delete(this.#path);
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#line;
    await this.#file.close().catch(() => {});
    written.delete(this.#path);
    if (this.#length === 0 || this.#fault !== undefined) await remove(this.#path);
    else this.#onLeft({ path: this.#path, sha: this.#wanted.sha, size: this.#length, changedMs: Date.now() });
  }
}

/** Whether a process of this host has ended; a file of this process can be resumed by itself. */
function isGone(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
}
