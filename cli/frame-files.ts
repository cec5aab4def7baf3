import { readFile } from 'node:fs/promises';
import { TesseraError } from '../shared/errors.ts';
import type { FrameEnvelope } from '../shared/protocol/messages.ts';
import { pictureFormat } from './camera/run.ts';
import { pictureFiles } from './camera/source.ts';

async function read(file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file));
  } catch (cause) {
    throw new TesseraError('TESSERA_USAGE', `cannot read ${file}`, { cause, hint: 'name a file that exists' });
  }
}

/** Pictures of files and folders as frames; with `tensors` their outputs are asked for. Throws TESSERA_USAGE. */
export async function pictureFrames(paths: readonly string[], tensors: boolean): Promise<FrameEnvelope[]> {
  const files = await pictureFiles(paths);
  return Promise.all(
    files.map(async (file): Promise<FrameEnvelope> => {
      const d = await read(file);
      return { v: 1, format: pictureFormat(d), d, tensors };
    }),
  );
}

/** Files of raw little-endian float32 as frames for a network's first input. Throws TESSERA_USAGE. */
export async function tensorFrames(
  files: readonly string[],
  shape: readonly number[],
  tensors: boolean,
): Promise<FrameEnvelope[]> {
  const bytes = shape.reduce((product, size) => product * size, 4);
  return Promise.all(
    files.map(async (file): Promise<FrameEnvelope> => {
      const d = await read(file);
      if (d.byteLength !== bytes)
        throw new TesseraError(
          'TESSERA_USAGE',
          `${file} has ${d.byteLength} bytes; float32 ${shape.join('x')} is ${bytes}`,
          { hint: '--tensor reads raw little-endian float32 without a header' },
        );
      return { v: 1, format: 'tensor', dtype: 'float32', shape: [...shape], d, tensors };
    }),
  );
}
