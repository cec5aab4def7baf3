import { readdir, stat } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { failureOf, TesseraError } from '../../errors.ts';
import { hideUserInfo } from '../../redact.ts';
import { readBytes } from '../../runtime/file.ts';
import type { Source } from '../source.ts';

const PICTURE = new Set(['.jpg', '.jpeg', '.png']);
/** Extensions of videos, which ffmpeg reads. */
export const VIDEO: ReadonlySet<string> = new Set(
  'mp4 m4v mov mkv webm avi flv wmv ts m2ts mpg mpeg 3gp mjpeg mjpg h264 h265 hevc'.split(' ').map((one) => `.${one}`),
);

/**
 * Expands a list of files and folders to picture files, folders in order of names. Of a folder that holds no pictures
 * itself they are those of its folders: a set of pictures often has one for each class. Throws TESSERA_USAGE.
 */
export async function pictureFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    const info = await stat(path).catch((cause) => {
      throw unreadable(path, cause);
    });
    if (!info.isDirectory()) files.push(path);
    else files.push(...(await picturesIn(path)));
  }
  if (files.length === 0)
    throw new TesseraError('TESSERA_USAGE', `no JPEG or PNG file in ${paths.join(', ')}`, {
      hint: 'name a file, or a folder that holds some',
    });
  return files;
}

async function picturesIn(folder: string): Promise<string[]> {
  const entries = (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
  const pictures = entries.filter((entry) => !entry.isDirectory() && PICTURE.has(extname(entry.name).toLowerCase()));
  if (pictures.length > 0) return pictures.map(({ name }) => join(folder, name));
  const found: string[] = [];
  for (const entry of entries)
    if (entry.isDirectory())
      for (const name of (await readdir(join(folder, entry.name))).sort())
        if (PICTURE.has(extname(name).toLowerCase())) found.push(join(folder, entry.name, name));
  return found;
}

/** The bytes of a frame's file. Throws TESSERA_USAGE. */
export async function readFrame(file: string): Promise<Uint8Array> {
  return readBytes(file).catch((cause) => {
    throw unreadable(file, cause);
  });
}

/** The error for a frame's file that cannot be read. */
export function unreadable(file: string, cause: Error): TesseraError {
  return new TesseraError('TESSERA_USAGE', hideUserInfo(`cannot read ${file}: ${cause.message}`), {
    cause,
    hint: 'name a file that exists and may be read, or a folder of them',
  });
}

/**
 * A camera that sends files in order, and starts over after the last. A file that cannot be read now is skipped; throws
 * TESSERA_USAGE where none can.
 */
export function fileSource(files: readonly string[], skipped: (why: string) => void): Source {
  let index = 0;
  return {
    async next() {
      for (let tries = 1; ; tries++) {
        const file = files[index++ % files.length]!;
        // Frame ids become part of topics, so a name keeps only valid characters.
        const id = basename(file)
          .replace(/[^A-Za-z0-9_.-]/g, '_')
          .slice(-64);
        try {
          return { id, bytes: await readFrame(file) };
        } catch (error) {
          if (tries === files.length) throw error;
          skipped(failureOf(error).message);
        }
      }
    },
    async stop() {},
  };
}
