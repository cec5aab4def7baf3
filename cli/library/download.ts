import { copyFile, open, rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { TesseraError } from '../../shared/errors.ts';
import { openFile } from '../../shared/runtime/file.ts';
import { storageError } from '../../shared/storage-fault.ts';
import type { Step } from '../progress.ts';

/** Bounds of a download. */
export interface DownloadOptions {
  /** Largest size, bytes; default 2 GB, the most that an ONNX file can have. */
  readonly maxBytes?: number;
  /** Longest time without a byte, ms; default 30 000. */
  readonly idleMs?: number;
  /** Longest time in all, ms; default one hour. */
  readonly totalMs?: number;
  /** Told after every piece. */
  readonly progress?: (step: Step) => void;
  /** Aborts the download. */
  readonly signal?: AbortSignal | undefined;
}

const MAX_BYTES = 2_000_000_000;

function failed(url: string, problem: string, hint: string, cause?: unknown): TesseraError {
  return new TesseraError('TESSERA_DOWNLOAD', `${url}: ${problem}`, { hint, cause });
}

/** Aborts a download when `idleMs` pass without a call of `alive()`, or `totalMs` in all. */
function watchdog(idleMs: number, totalMs: number, signal: AbortSignal | undefined) {
  const controller = new AbortController();
  const stop = (): void => controller.abort(signal?.reason);
  if (signal?.aborted === true) stop();
  signal?.addEventListener('abort', stop, { once: true });
  const end = () => controller.abort(new Error('it took too long'));
  const total = setTimeout(end, totalMs);
  let idle = setTimeout(end, idleMs);
  return {
    signal: controller.signal,
    alive: () => {
      clearTimeout(idle);
      idle = setTimeout(end, idleMs);
    },
    stop: () => {
      signal?.removeEventListener('abort', stop);
      clearTimeout(total);
      clearTimeout(idle);
    },
  };
}

async function fetchTo(url: string, path: string, options: DownloadOptions): Promise<void> {
  const { maxBytes = MAX_BYTES, idleMs = 30_000, totalMs = 3_600_000 } = options;
  const guard = watchdog(idleMs, totalMs, options.signal);
  const tooLarge = () => failed(url, `more than ${maxBytes} bytes`, 'get the file yourself and add it by its path');
  const unwritable = (error: unknown): never => {
    throw storageError(error, { what: 'the file of the download', path });
  };
  const file = await open(path, 'w').catch(unwritable);
  try {
    const response = await fetch(url, { signal: guard.signal, redirect: 'follow' });
    if (!response.ok || response.body === null)
      throw failed(url, `the server answers ${response.status} ${response.statusText}`, 'check the address');
    if (response.headers.get('content-type')?.startsWith('text/html'))
      throw failed(
        url,
        'a web page, not a file',
        "use the address of the file itself, such as GitHub's Raw button gives",
      );
    const said = Number(response.headers.get('content-length') ?? 0);
    if (said > maxBytes) throw tooLarge();
    // The length of a packed body is not that of the file.
    const of = said > 0 && response.headers.get('content-encoding') === null ? said : null;
    const progress = (done: number) => options.progress?.({ work: `download ${url}`, done, of, unit: 'bytes' });
    let bytes = 0;
    progress(bytes);
    for await (const chunk of response.body) {
      guard.alive();
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw tooLarge();
      // `writeFile` writes the whole chunk; `write` may write a part.
      await file.writeFile(chunk).catch(unwritable);
      progress(bytes);
    }
  } catch (error) {
    if (error instanceof TesseraError) throw error;
    const reason = guard.signal.aborted ? guard.signal.reason : ((error as Error).cause ?? error);
    throw failed(url, (reason as Error).message, 'check the address and the network, then try again', error);
  } finally {
    guard.stop();
    await file.close();
  }
}

async function copy(from: string, path: string): Promise<void> {
  await (await openFile(from)).close();
  await copyFile(from, path).catch((error: unknown) => {
    throw storageError(error, { what: 'the file of the download', path });
  });
}

/**
 * Downloads an http, https or file URL into a new file at `path`, which is removed when anything fails.
 * Throws TesseraError TESSERA_DOWNLOAD, TESSERA_STORAGE.
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  const { protocol } = new URL(url);
  try {
    if (protocol === 'file:') await copy(fileURLToPath(url), path);
    else if (protocol === 'http:' || protocol === 'https:') await fetchTo(url, path, options);
    else throw failed(url, `${protocol} is not supported`, 'use http, https or file');
  } catch (error) {
    await rm(path, { force: true });
    throw error instanceof TesseraError ? error : failed(url, (error as Error).message, 'check the address', error);
  }
}
