import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { TesseraError } from '../../shared/errors.ts';
import { readBytes, readText } from '../../shared/runtime/file.ts';

/** Bytes of a package that have its control file, which lies uncompressed in front. */
const HEAD = 4096;

/**
 * The Debian package of a bundle for 64-bit Raspberry Pis, checked against its SHA-256 where that lies beside it. Throws
 * TESSERA_USAGE for any other file.
 */
export async function readPackage(path: string): Promise<Buffer> {
  const wrong = (why: string, cause?: unknown): TesseraError =>
    new TesseraError('TESSERA_USAGE', `the package ${path} ${why}`, {
      hint: 'make it with `npm run bundle -- --arch arm64`, and name it with --bundle FILE',
      cause,
    });
  const bytes = await readBytes(path).catch((error: Error) => {
    throw wrong(`cannot be read: ${error.message}`, error);
  });
  const head = bytes.subarray(0, HEAD).toString('latin1');
  if (!head.startsWith('!<arch>\ndebian-binary') || !/^Package: tessera$/m.test(head))
    throw wrong('is no Debian package of Tessera');
  if (!/^Architecture: arm64$/m.test(head)) throw wrong('is not for arm64');
  const name = basename(path);
  const sums = await readText(path.replace(/\.deb$/, '.sha256')).catch(() => undefined);
  const sum = sums
    ?.split('\n')
    .find((line) => line.endsWith(`  ${name}`))
    ?.slice(0, 64);
  if (sum !== undefined && sum !== createHash('sha256').update(bytes).digest('hex'))
    throw wrong('is damaged: it has another SHA-256 than the file beside it says');
  return bytes;
}
