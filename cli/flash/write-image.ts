import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { TesseraError } from '../../shared/errors.ts';
import { openFile } from '../../shared/runtime/file.ts';

const CHUNK = 4 * 1024 * 1024;
/** Programs that unpack an image to standard output. */
const UNPACKERS: Readonly<Record<string, string>> = { '.xz': 'xz', '.gz': 'gzip', '.zst': 'zstd' };

/**
 * Writes an image, unpacked where it is packed, to the beginning of a file or device, and reads it back. `onBytes` is
 * told how many are written; `forget` has the system forget what it holds of a device, which it would give back instead of
 * what the card holds. Throws TESSERA_STORAGE where other bytes come back, and for an image that is damaged.
 */
export async function writeImage(
  image: string,
  target: FileHandle,
  onBytes: (written: number) => void,
  forget: () => Promise<void> = async () => {},
): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of unpacked(image)) {
    hash.update(chunk);
    for (let done = 0; done < chunk.byteLength; )
      done += (await target.write(chunk, done, chunk.byteLength - done, size + done)).bytesWritten;
    size += chunk.byteLength;
    onBytes(size);
  }
  await target.sync();
  await forget();
  const wanted = hash.digest('hex');
  const found = createHash('sha256');
  const piece = Buffer.alloc(CHUNK);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await target.read(piece, 0, Math.min(CHUNK, size - at), at);
    if (bytesRead === 0) break;
    found.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
  if (found.digest('hex') !== wanted)
    throw new TesseraError('TESSERA_STORAGE', 'the card gives back other bytes than were written', {
      hint: 'it is worn out, too small, or a counterfeit: take another one',
    });
}

async function* unpacked(image: string): AsyncGenerator<Buffer> {
  const file = await openFile(image);
  try {
    const program = Object.entries(UNPACKERS).find(([ending]) => image.endsWith(ending))?.[1];
    if (program !== undefined) yield* unpackedBy(program, file, image);
    else
      for (;;) {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, null);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
  } finally {
    await file.close();
  }
}

async function* unpackedBy(program: string, file: FileHandle, image: string): AsyncGenerator<Buffer> {
  const child = spawn(program, ['-dc'], { stdio: [file.fd, 'pipe', 'ignore'] });
  const ended = once(child, 'close').catch((error: Error) => error);
  // Leaving the loop early closes the program's output, of which it dies.
  yield* child.stdout as AsyncIterable<Buffer>;
  const end = await ended;
  if (!Array.isArray(end))
    throw new TesseraError('TESSERA_USAGE', `${program} cannot be run: ${end.message}`, {
      hint: `install ${program}, or unpack ${image} yourself`,
    });
  if (end[0] !== 0)
    throw new TesseraError('TESSERA_STORAGE', `${image} is damaged: ${program} ended with code ${end[0]}`, {
      hint: 'download it again',
    });
}
