import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { failureOf, TesseraError } from '../../shared/errors.ts';
import { fileSha256 } from '../../shared/runtime/file.ts';
import { storageError, systemCodeOf } from '../../shared/storage-fault.ts';

/** What to download, and where to. */
export interface Download {
  readonly url: string;
  readonly sha256: string;
  /** What is there already is continued. */
  readonly file: string;
  readonly onProgress: (bytes: number, of: number) => void;
  readonly signal: AbortSignal;
}

/** Most bytes of an archive. */
const MAX_BYTES = 250e6;
/** A server that sends nothing for so long is given up, ms. */
const SILENT_MS = 30_000;
/** Room for the archive and what is unpacked from it, in sizes of the archive. */
const ROOM = 6;

/**
 * Downloads a file by HTTP, or what is missing of it. Throws TESSERA_DOWNLOAD for a failure that may pass,
 * TESSERA_STORAGE where there is no room, and TESSERA_SIGNATURE for a whole file that does not have the hash.
 */
export async function download(wanted: Download): Promise<void> {
  const { file, sha256 } = wanted;
  const before = await sizeOf(file);
  try {
    await fetchRest(wanted, before);
  } catch (error) {
    if (error instanceof TesseraError) throw error;
    if (systemCodeOf(error) === 'ENOSPC') throw storageError(error, { what: 'the archive of a release', path: file });
    const text = (error as { cause?: Error }).cause?.message ?? failureOf(error).message;
    throw refused(`${wanted.url} cannot be downloaded: ${text}`, error);
  }
  if ((await fileSha256(file)) === sha256) return;
  await rm(file, { force: true });
  // What was there may have been written in the moment of a power cut.
  if (before > 0) throw refused('what an earlier download left was damaged');
  throw new TesseraError('TESSERA_SIGNATURE', `${wanted.url} is another file than the release names`, {
    hint: 'put the file there that was signed',
  });
}

async function fetchRest({ url, file, onProgress, signal }: Download, before: number): Promise<void> {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  let timer: NodeJS.Timeout | undefined;
  const alive = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => ended.abort(new Error(`nothing came for ${SILENT_MS / 1000} s`)), SILENT_MS);
  };
  alive();
  try {
    const headers = before > 0 ? { range: `bytes=${before}-` } : undefined;
    const response = await fetch(url, { signal: both, ...(headers && { headers }) });
    // All of it is here.
    if (response.status === 416) return await response.body?.cancel();
    if (response.status !== 200 && response.status !== 206) throw refused(`${url} answers with ${response.status}`);
    const isRest = response.status === 206;
    const rest = Number(response.headers.get('content-length'));
    const size = (isRest ? before : 0) + rest;
    if (!(rest > 0) || size > MAX_BYTES)
      throw refused(`${url} has ${size} bytes, where an archive has at most ${MAX_BYTES}`);
    await requireRoom(file, size * ROOM - (isRest ? before : 0));
    const out = await open(file, isRest ? 'a' : 'w', 0o600);
    try {
      let bytes = isRest ? before : 0;
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
        alive();
        bytes += chunk.byteLength;
        if (bytes > size) throw refused(`${url} sends more than it said`);
        await out.writeFile(chunk);
        onProgress(bytes, size);
      }
      if (bytes < size) throw refused(`${url} ended early`);
      await out.sync();
    } finally {
      await out.close();
    }
  } finally {
    clearTimeout(timer);
  }
}

async function requireRoom(file: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(file));
  if (bavail * bsize >= bytes) return;
  throw new TesseraError(
    'TESSERA_STORAGE',
    `a release needs ${Math.ceil(bytes / 1e6)} MB in ${dirname(file)}, and ${Math.floor((bavail * bsize) / 1e6)} MB are free`,
    { hint: 'make room' },
  );
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

const refused = (message: string, cause?: unknown): TesseraError =>
  new TesseraError('TESSERA_DOWNLOAD', message, { hint: 'it is tried again', cause });
