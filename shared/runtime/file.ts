import { createHash } from 'node:crypto';
import { constants, fstatSync } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { Socket } from 'node:net';
import { devNull } from 'node:os';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { text } from 'node:stream/consumers';

/**
 * The one place where files that somebody names are opened for reading. What is no regular file is refused: a named
 * pipe that nobody writes to would be waited for, in a thread that not even the end of the process can wait out, and a
 * device has no end. All functions throw what the system says, or an `Error` that says what the thing is.
 */

/** Descriptors that whoever started the program opened: `/dev/stdin`, and `/dev/fd/63` as shells write `<(command)`. */
const DESCRIPTOR = /^\/dev\/(?:stdin|fd\/(\d{1,4}))$/;

/** Opens a regular file, symbolic links followed. */
export async function openFile(path: string): Promise<FileHandle> {
  // Non-blocking, so that a pipe opens at once and can be looked at; for a file it changes nothing.
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
 * The text of a small file that people write: a regular one, or what a pipe holds that was open when the program
 * started (`--password-file <(pass show tessera)`). The null device is an empty file.
 */
export async function readText(path: string): Promise<string> {
  if (path === devNull) return '';
  const number = DESCRIPTOR.exec(path)?.[1] ?? (path === '/dev/stdin' ? '0' : undefined);
  if (number !== undefined && process.platform !== 'win32') {
    const fd = Number(number);
    if (fd === 0) return text(process.stdin);
    const found = fstatSync(fd);
    // Not through the file system: a read that waits there would keep the process from ending.
    if (found.isFIFO() || found.isSocket()) return text(new Socket({ fd, readable: true, writable: false }));
  }
  return utf8(await readBytes(path));
}

/** Text of UTF-8, without a byte order mark. Throws an `Error` that names what else it is. */
export function utf8(bytes: Uint8Array): string {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw new Error('it is text in UTF-16: save it as UTF-8');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // Of the bytes that are no UTF-8 the first is what an editor can be sent to.
    const good = new TextDecoder('utf-8').decode(bytes).indexOf('\ufffd');
    const line = new TextDecoder('utf-8').decode(bytes).slice(0, good).split('\n').length;
    throw new Error(`it is not text in UTF-8 (line ${line}; perhaps Latin-1 or Windows-1252): save it as UTF-8`);
  }
}

/** Whether a path lies in a folder or below; neither is looked up. */
function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/**
 * The path of a file that something in `folder` names: beside it or below, links followed. Who brings a model must not
 * get files read that lie elsewhere. Whether the file is there at all is not asked. Throws an `Error` that reads on after
 * the name.
 */
export async function fileWithin(folder: string, name: string): Promise<string> {
  const path = resolve(folder, name);
  if (isAbsolute(name) || !isWithin(resolve(folder), path)) throw new Error(`lies outside of ${folder}`);
  const real = await realpath(path).catch(() => undefined);
  if (real !== undefined && !isWithin(await realpath(folder), real))
    throw new Error(`is a link to ${real}, outside of ${folder}`);
  return path;
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
