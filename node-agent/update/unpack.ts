import { spawn } from 'node:child_process';
import { type FileHandle, open, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Duplex, type Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import { TesseraError } from '../../shared/errors.ts';
import { fileStream } from '../../shared/runtime/file.ts';
import { makePath } from '../../shared/runtime/make-path.ts';
import { storageError, systemCodeOf } from '../../shared/storage-fault.ts';
import { TarReader } from '../../shared/update/tar.ts';

/** Most bytes of an unpacked release. */
const MAX_UNPACKED_BYTES = 1e9;

/**
 * Unpacks what lies below `prefix` in an archive (tar, compressed by zstd) into a new folder. Throws TESSERA_STORAGE where
 * the disk does not take it, and TESSERA_DOWNLOAD for an archive that no bundle is.
 */
export async function unpackRelease(archive: string, folder: string, prefix: string): Promise<void> {
  const reader = new TarReader();
  let file: FileHandle | undefined;
  let bytes = 0;
  try {
    makePath(folder);
    for await (const chunk of decompressed((await fileStream(archive)).bytes)) {
      for (const piece of reader.take(chunk as Buffer)) {
        if ('bytes' in piece) {
          bytes += piece.bytes.byteLength;
          if (bytes > MAX_UNPACKED_BYTES) throw new Error(`it has more than ${MAX_UNPACKED_BYTES} bytes`);
          await file?.writeFile(piece.bytes);
          continue;
        }
        await file?.close();
        file = undefined;
        const { path, kind, executable, linkTo } = piece.entry;
        if (!path.startsWith(prefix)) continue;
        const place = join(folder, path.slice(prefix.length));
        makePath(kind === 'folder' ? place : dirname(place));
        if (kind === 'file') file = await open(place, 'wx', executable ? 0o755 : 0o644);
        else if (kind === 'link') await symlink(linkTo, place);
      }
    }
    reader.end();
  } catch (error) {
    if (systemCodeOf(error) !== undefined && systemCodeOf(error) !== 'EEXIST')
      throw storageError(error, { what: 'the new release', path: folder });
    throw new TesseraError('TESSERA_DOWNLOAD', `the archive cannot be unpacked: ${(error as Error).message}`, {
      hint: 'make the bundle again',
      cause: error,
    });
  } finally {
    await file?.close();
  }
}

/** What zstd compressed: by Node where it can (22.15 and newer), else by the program `zstd`. */
function decompressed(compressed: Readable): Readable {
  const { createZstdDecompress } = zlib as { createZstdDecompress?: () => Duplex };
  if (createZstdDecompress !== undefined) return piped(compressed, createZstdDecompress());
  const program = spawn('zstd', ['-d', '-q', '-c'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const output = piped(compressed, Duplex.from({ writable: program.stdin, readable: program.stdout }));
  program.on('error', (error) => output.destroy(new Error(`zstd cannot be run: ${error.message}`)));
  program.on('exit', (code) => {
    if (code !== 0) output.destroy(new Error('zstd says that the archive is damaged'));
  });
  return output;
}

function piped(from: Readable, to: Duplex): Duplex {
  from.on('error', (error) => to.destroy(error));
  return from.pipe(to);
}
