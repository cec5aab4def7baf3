import { createHash } from 'node:crypto';
import { constants, fstatSync, openSync } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { Socket } from 'node:net';
import { devNull } from 'node:os';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

/**
 * The only place where user-named files are opened for reading. Anything but a regular file is refused: reading a named
 * pipe without a writer would block a thread for ever, even at the process's end, and a device never ends. All
 * functions throw the system's error, or an `Error` that names the kind of file.
 */

/** Descriptors that the program inherited: `/dev/stdin`, and `/dev/fd/63` as shells write `<(command)`. */
const DESCRIPTOR = /^\/dev\/(?:stdin|fd\/(\d{1,4}))$/;

/** Opens a regular file, symbolic links followed. */
export async function openFile(path: string): Promise<FileHandle> {
  // Non-blocking, so that a pipe opens at once and can be examined; for a file it changes nothing.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new Error(`it is ${kindOf(found)}, not a file`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Opens a named pipe for reading; undefined for anything else. It does not end when a writer closes it: the next one may
 * open it.
 */
export async function openPipe(path: string): Promise<Socket | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFIFO() !== true) return undefined;
  // Opened for writing too, so that opening does not wait for a writer and reading does not end without one.
  const fd = openSync(path, constants.O_RDWR | (constants.O_NONBLOCK ?? 0));
  return new Socket({ fd, readable: true, writable: false });
}

/** The bytes of a regular file of less than 2 GiB. */
export async function readBytes(path: string): Promise<Buffer> {
  const file = await openFile(path);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/**
 * The text of a small file: a regular one, or an inherited pipe (`--password-file <(pass show tessera)`). The null
 * device is an empty file.
 */
export async function readText(path: string): Promise<string> {
  if (path === devNull) return '';
  const number = DESCRIPTOR.exec(path)?.[1] ?? (path === '/dev/stdin' ? '0' : undefined);
  if (number !== undefined && process.platform !== 'win32') {
    const fd = Number(number);
    if (fd === 0) return text(process.stdin);
    const found = fstatSync(fd);
    // Not through the file system: a blocked read would keep the process from ending.
    if (found.isFIFO() || found.isSocket()) return text(new Socket({ fd, readable: true, writable: false }));
  }
  return utf8(await readBytes(path));
}

/** Decodes UTF-8, without a byte order mark. Throws an `Error` that names the other encoding. */
export function utf8(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw new Error('it is text in UTF-16: save it as UTF-8');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // The line of the first invalid byte, for the user's editor.
    const good = new TextDecoder('utf-8').decode(bytes).indexOf('\ufffd');
    const line = new TextDecoder('utf-8').decode(bytes).slice(0, good).split('\n').length;
    throw new Error(`it is not text in UTF-8 (line ${line}; perhaps Latin-1 or Windows-1252): save it as UTF-8`);
  }
}

/** Whether a path is inside a folder; neither is accessed. */
function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/**
 * The path of a file that is named by another file in `folder`: beside it or below, links followed, so that a model
 * cannot make Tessera read other files. The file need not exist. Throws an `Error` whose text continues after the name.
 */
export async function fileWithin(folder: string, name: string): Promise<string> {
  const path = resolve(folder, name);
  if (isAbsolute(name) || !isWithin(resolve(folder), path)) throw new Error(`lies outside of ${folder}`);
  const real = await realpath(path).catch(() => undefined);
  if (real !== undefined && !isWithin(await realpath(folder), real))
    throw new Error(`is a link to ${real}, outside of ${folder}`);
  return path;
}

/** The size of a regular file of any size, and a stream of its bytes from `start` on. */
export async function fileStream(
  path: string,
  start = 0,
): Promise<{ readonly size: number; readonly bytes: Readable }> {
  const file = await openFile(path);
  const { size } = await file.stat();
  return { size, bytes: file.createReadStream({ start }) };
}

/** SHA-256 of a regular file of any size, lower-case hex. */
export async function fileSha256(path: string): Promise<string> {
  const file = await openFile(path);
  const hash = createHash('sha256');
  for await (const chunk of file.createReadStream()) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function kindOf(found: Awaited<ReturnType<FileHandle['stat']>>): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a named pipe';
  return found.isCharacterDevice() || found.isBlockDevice() ? 'a device' : 'something else';
}
