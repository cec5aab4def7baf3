import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TesseraError } from '../shared/errors.ts';
import { readBytes, readText } from '../shared/runtime/file.ts';
import { makePath } from '../shared/runtime/make-path.ts';
import type { Arch, Component } from './content.ts';

const run = promisify(execFile);

/** The Node of every bundle: the npm packages `node-linux-<arch>`, by their SHA-512. */
const NODE = {
  version: '22.23.5',
  integrity: {
    arm64: 'sha512-e1LOUGKVruPGuLVutn8+Cgm5pI1APm4Kvh+zbb/qe/ZpD9s+TQby5iUgZOWmPpbSKpj0Td8DP1N0NEnXasHizg==',
    x64: 'sha512-3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==',
  },
} as const;

/** Node's program and licence, unpacked. */
export interface NodeFiles {
  readonly program: string;
  readonly license: string;
  readonly component: Component;
}

/** Fetches the Node of a platform into a folder. Throws TESSERA_DOWNLOAD where its hash is another one. */
export async function fetchNode(arch: Arch, folder: string): Promise<NodeFiles> {
  const name = `node-linux-${arch}`;
  makePath(folder);
  await npm(['pack', `${name}@${NODE.version}`, '--pack-destination', folder], folder);
  const file = join(folder, `${name}-${NODE.version}.tgz`);
  const hash = `sha512-${createHash('sha512')
    .update(await readBytes(file))
    .digest('base64')}`;
  if (hash !== NODE.integrity[arch])
    throw new TesseraError('TESSERA_DOWNLOAD', `${name} ${NODE.version} has the hash ${hash}`, {
      hint: `bundle/packages.ts expects ${NODE.integrity[arch]}`,
    });
  const [program, license] = ['package/bin/node', 'package/LICENSE'];
  await run('tar', ['-xzf', file, '-C', folder, program, license]);
  const component = { name, version: NODE.version, license: 'MIT' };
  return { program: join(folder, program), license: join(folder, license), component };
}

/** Installs the locked packages for a platform into a folder; no script of theirs runs. */
export async function installPackages(root: string, arch: Arch, folder: string): Promise<string> {
  makePath(folder);
  for (const file of ['package.json', 'package-lock.json']) await copyFile(join(root, file), join(folder, file));
  const platform = ['--os=linux', `--cpu=${arch}`, '--libc=glibc'];
  await npm(['ci', '--omit=dev', ...platform, '--ignore-scripts', '--no-audit', '--no-fund'], folder);
  return join(folder, 'node_modules');
}

async function npm(words: readonly string[], cwd: string): Promise<void> {
  await run('npm', [...words], { cwd, maxBuffer: 1e8 }).catch((error: Error & { stderr?: string }) => {
    throw new TesseraError('TESSERA_DOWNLOAD', `npm ${words[0]}: ${(error.stderr ?? error.message).trim()}`, {
      hint: 'npm has to reach its registry',
      cause: error,
    });
  });
}

/** The packages in a folder `node_modules` whose files are bundled. */
export async function componentsIn(folder: string, files: readonly string[]): Promise<Component[]> {
  const manifests = files.filter((file) =>
    /(^|\/)node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(`node_modules/${file}`),
  );
  const read = manifests.map(async (file): Promise<Component> => {
    const { name, version, license } = JSON.parse(await readText(join(folder, file))) as Record<string, string>;
    return { name: name!, version: version!, license: license ?? 'NOASSERTION' };
  });
  return Promise.all(read);
}

/** The files below a folder, as paths with slashes. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
