import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { TesseraError } from '../shared/errors.ts';
import { readBytes, readText } from '../shared/runtime/file.ts';

/** Bytes of a package that have its control file, which lies uncompressed in front. */
const HEAD = 4096;

/**
 * The Debian package of a bundle for an architecture, checked against its SHA-256 where that lies beside it. Throws
 * TESSERA_USAGE for any other file.
 */
export async function readPackage(path: string, arch: 'arm64' | 'x64'): Promise<Buffer> {
  const wrong = (why: string, cause?: unknown): TesseraError =>
    new TesseraError('TESSERA_USAGE', `the package ${path} ${why}`, {
      hint: `make it with \`npm run bundle -- --arch ${arch}\`, and name it with --bundle FILE`,
      cause,
    });
  const bytes = await readBytes(path).catch((error: Error) => {
    throw wrong(`cannot be read: ${error.message}`, error);
  });
  const head = bytes.subarray(0, HEAD).toString('latin1');
  if (!head.startsWith('!<arch>\ndebian-binary') || !/^Package: tessera$/m.test(head))
    throw wrong('is no Debian package of Tessera');
  const wanted = arch === 'x64' ? 'amd64' : arch;
  if (/^Architecture: (\S+)$/m.exec(head)?.[1] !== wanted) throw wrong(`is not for ${wanted}`);
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
