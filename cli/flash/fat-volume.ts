import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { buffer, text } from 'node:stream/consumers';
import { TesseraError } from '../../shared/errors.ts';
import type { BootVolume } from './boot-volume.ts';
import { bootOffset, SECTOR } from './partition.ts';

/** The boot partition of an image file or block device, by mtools, which need neither root nor a mount. */
export async function fatVolume(path: string): Promise<BootVolume> {
  const image = `${path}@@${bootOffset(await firstSector(path), path)}`;
  const mtools = (program: string, words: readonly string[], input?: Uint8Array): Promise<Buffer> =>
    runMtools(program, ['-i', image, ...words], path, input);
  return {
    async names() {
      const listed = (await mtools('mdir', ['-b', '-a', '::'])).toString('utf8');
      return [...listed.matchAll(/^::\/?(.+?)\/?$/gm)].map(([, name]) => name!);
    },
    async free() {
      const listed = (await mtools('mdir', ['-a', '::'])).toString('utf8');
      return Number(/([\d ]+) bytes free/.exec(listed)?.[1]?.replaceAll(' ', '') ?? 0);
    },
    read: (name) => mtools('mtype', [`::${name}`]),
    async write(name, content) {
      await mtools('mcopy', ['-o', '-', `::${name}`], content);
    },
    async remove(name) {
      await mtools('mdel', [`::${name}`]);
    },
  };
}

/** The first sector of an image or device. */
async function firstSector(path: string): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const { buffer: bytes, bytesRead } = await file.read(Buffer.alloc(SECTOR), 0, SECTOR, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function runMtools(
  program: string,
  words: readonly string[],
  path: string,
  input: Uint8Array | undefined,
): Promise<Buffer> {
  const child = spawn(program, words, {
    // Geometry that mtools would refuse is none of our concern; nor is the user's own list of drives.
    env: { ...process.env, MTOOLS_SKIP_CHECK: '1', MTOOLSRC: '/dev/null', LC_ALL: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const failed = once(child, 'error').then(([error]) => {
    throw new TesseraError('TESSERA_USAGE', `${program} cannot be run: ${(error as Error).message}`, {
      hint: 'install mtools (apt-get install mtools), or name a mounted boot volume',
    });
  });
  // It may end without reading.
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const ended = Promise.all([buffer(child.stdout), text(child.stderr), once(child, 'close')]);
  const [out, said, [code]] = await Promise.race([ended, failed]);
  if (code === 0) return out;
  throw new TesseraError('TESSERA_STORAGE', `${path}: ${program}: ${said.trim() || `exit code ${code}`}`, {
    hint: 'the boot partition may be full or damaged: write the image anew',
  });
}
