import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { TesseraError } from '../shared/errors.ts';
import { readBytes } from '../shared/runtime/file.ts';
import { makeTemporaryFolder } from '../shared/runtime/folder.ts';
import { packageFolder, packageVersion } from '../shared/runtime/version.ts';
import { type Entry, tar } from './archive.ts';
import { type Arch, billOfMaterials, isNeeded } from './content.ts';
import { debianPackage } from './debian.ts';
import { LAUNCHER } from './launcher.ts';
import { componentsIn, fetchNode, filesBelow, installPackages } from './packages.ts';

/** A bundle as an archive, which is unpacked at the root, and as a Debian package of the same files. */
export interface Bundle {
  /** `tessera-0.1.0-linux-arm64` */
  readonly name: string;
  readonly archive: Buffer;
  readonly debian: Buffer;
}

/** Most bytes of a bundle: it has to fit beside the system on the boot partition of a card. */
export const MAX_BYTES = 60e6;
/** Levels of zstd: the smallest file, and one within seconds. */
const LEVEL = { small: 19, fast: 3 } as const;

/** Makes the bundle of a platform. Throws TESSERA_DOWNLOAD, TESSERA_STORAGE, and where it is larger than MAX_BYTES. */
export async function makeBundle(arch: Arch, { fast }: { readonly fast: boolean }): Promise<Bundle> {
  const version = packageVersion();
  const name = `tessera-${version}-linux-${arch}`;
  const scratch = await makeTemporaryFolder('tessera-bundle-');
  try {
    const time = await commitTime();
    const entries = await contentOf(arch, version, time, scratch);
    const archive = await compressed(tar(entries, time), fast ? LEVEL.fast : LEVEL.small);
    if (!fast && archive.byteLength > MAX_BYTES)
      throw new TesseraError('TESSERA_STORAGE', `${name} has ${archive.byteLength} bytes, more than ${MAX_BYTES}`, {
        hint: 'leave out more of what is not needed: bundle/content.ts',
      });
    const bytes = entries.reduce((sum, { content }) => sum + ('byteLength' in content ? content.byteLength : 0), 0);
    return { name, archive, debian: debianPackage(archive, { version, arch, bytes, time }) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** All files of a bundle, at the places where they are installed. */
async function contentOf(arch: Arch, version: string, time: number, scratch: string): Promise<Entry[]> {
  const root = packageFolder();
  const home = `opt/tessera/${version}`;
  const entries: Entry[] = [
    { path: 'usr/bin/tessera', content: { linkTo: '/opt/tessera/current/bin/tessera' } },
    { path: 'opt/tessera/current', content: { linkTo: version } },
    { path: `${home}/bin/tessera`, content: Buffer.from(LAUNCHER), executable: true },
  ];
  const add = async (path: string, file: string, executable = false): Promise<void> => {
    entries.push({ path: `${home}/${path}`, content: await readBytes(file), executable });
  };

  const node = await fetchNode(arch, join(scratch, 'node'));
  await add('bin/node', node.program, true);
  await add('LICENSE.node', node.license);
  for (const file of ['LICENSE', 'CHANGELOG.md']) await add(file, join(root, file));
  await add('app/package.json', join(root, 'package.json'));
  // Left-overs of sources that are gone stay out.
  const isCode = (file: string): boolean =>
    /\.c?js$/.test(file) && !/^(bench|bundle)\//.test(file) && existsSync(join(root, file.replace(/js$/, 'ts')));
  const code = (await filesBelow(join(root, 'dist'))).filter(isCode);
  for (const file of code) await add(`app/dist/${file}`, join(root, 'dist', file));
  for (const file of await filesBelow(join(root, 'config')))
    await add(`app/config/${file}`, join(root, 'config', file));
  const page = 'central/http/page';
  for (const file of await filesBelow(join(root, page))) await add(`app/${page}/${file}`, join(root, page, file));

  const folder = await installPackages(root, arch, join(scratch, 'packages'));
  const files = (await filesBelow(folder)).filter((file) => isNeeded(file, arch));
  for (const file of files) await add(`app/node_modules/${file}`, join(folder, file));
  const components = [node.component, ...(await componentsIn(folder, files))];
  const product = { name: '@tessera-edge/tessera', version, license: 'Apache-2.0', arch };
  entries.push({ path: `${home}/sbom.cdx.json`, content: Buffer.from(billOfMaterials(product, components, time)) });
  return entries;
}

/** The time of all files, Unix seconds: `$SOURCE_DATE_EPOCH`, else that of the last commit, else 0. */
async function commitTime(): Promise<number> {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) return Number(given);
  const git = promisify(execFile)('git', ['log', '-1', '--format=%ct'], { cwd: packageFolder() });
  return git.then(({ stdout }) => Number(stdout)).catch(() => 0);
}

async function compressed(pieces: Iterable<Uint8Array>, level: number): Promise<Buffer> {
  // With several threads, however many, zstd makes the same bytes.
  const zstd = spawn('zstd', ['-q', '-c', '-T0', `-${level}`], { stdio: ['pipe', 'pipe', 'inherit'] });
  const failed = once(zstd, 'error').then(([error]) => {
    throw new TesseraError('TESSERA_STORAGE', `zstd cannot be run: ${(error as Error).message}`, {
      hint: 'install it: apt-get install zstd',
    });
  });
  const made = Promise.all([pipeline(Readable.from(pieces), zstd.stdin), buffer(zstd.stdout)]);
  const [, bytes] = await Promise.race([made, failed]);
  return bytes;
}
