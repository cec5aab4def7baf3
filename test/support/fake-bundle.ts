import { execFileSync } from 'node:child_process';
import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Entry, tar } from '../../bundle/archive.ts';
import { LAUNCHER } from '../../bundle/launcher.ts';
import type { OfferedRelease } from '../../shared/protocol/messages/update.ts';
import { publicKeyText } from '../../shared/runtime/release-signature.ts';
import { packageFolder } from '../../shared/runtime/version.ts';
import { archiveOf, releaseText } from '../../shared/update/release.ts';

/** Small bundles with the code of `dist/`, which use this machine's Node and packages. */

/** The platform of this machine, as releases name it. */
export const HERE = `${process.platform}-${process.arch}`;

/** How the program of a bundle misbehaves when it is started as an agent, or at all. */
export const FAULTS = {
  crashes: "if (process.argv[2] === 'agent') process.exit(3);",
  hangs: "if (process.argv[2] === 'agent') for (;;);",
  'fails its self-test': "if (process.argv[2] === '--self-test') process.exit(1);",
} as const;

/** The files of a bundle, below its own folder. */
export async function bundleEntries(version: string, fault?: keyof typeof FAULTS): Promise<Entry[]> {
  const root = packageFolder();
  const file = (path: string, content: string | Uint8Array, executable = false): Entry => ({
    path,
    content: Buffer.from(content),
    executable,
  });
  const entries: Entry[] = [
    file('bin/tessera', LAUNCHER, true),
    file('bin/node', `#!/bin/sh\nexec ${process.execPath} "$@"\n`, true),
    { path: 'app/node_modules', content: { linkTo: join(root, 'node_modules') } },
    file('app/package.json', JSON.stringify({ ...JSON.parse(await text(join(root, 'package.json'))), version })),
  ];
  for (const folder of ['dist/broker', 'dist/central', 'dist/cli', 'dist/node-agent', 'dist/shared', 'config/models'])
    for (const name of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      const path = join(name.parentPath, name.name).slice(root.length + 1);
      if (!name.isFile() || /\.(map|d\.ts)$/.test(path)) continue;
      const content = await readFile(join(root, path));
      const isMain = path === 'dist/cli/main.js' && fault !== undefined;
      const shebang = '#!/usr/bin/env node\n';
      entries.push(
        file(`app/${path}`, isMain ? `${shebang}${FAULTS[fault]}\n${`${content}`.slice(shebang.length)}` : content),
      );
    }
  return entries;
}

const text = (path: string): Promise<string> => readFile(path, 'utf8');

/** Installs a bundle as a package would, in `<root>/opt/tessera/<version>`; returns its program. */
export async function installBundle(root: string, version: string): Promise<string> {
  const home = join(root, 'opt', 'tessera', version);
  for (const { path, content, executable } of await bundleEntries(version)) {
    const place = join(home, path);
    await mkdir(dirname(place), { recursive: true });
    if ('linkTo' in content) await symlink(content.linkTo, place);
    else await writeFile(place, content);
    if (executable === true) await chmod(place, 0o755);
  }
  return join(home, 'bin', 'tessera');
}

/** A key pair of one who makes bundles. */
export function releaseKey() {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: publicKeyText(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()) };
}

/** Makes the archive of a release. */
export async function bundleArchive(version: string, fault?: keyof typeof FAULTS): Promise<Buffer> {
  const below = (await bundleEntries(version, fault)).map((entry) => ({
    ...entry,
    path: `opt/tessera/${version}/${entry.path}`,
  }));
  const bytes = Buffer.concat([...tar([...below, { path: 'opt/tessera/current', content: { linkTo: version } }], 0)]);
  return execFileSync('zstd', ['-q', '-c', '-1'], { input: bytes, maxBuffer: 1e9 });
}

/** Signs the release of an archive. */
export function offered(
  about: { readonly version: string; readonly url: string; readonly minimum?: string; readonly platform?: string },
  archive: Uint8Array,
  { privateKey }: Pick<ReturnType<typeof releaseKey>, 'privateKey'>,
): OfferedRelease {
  const { version, url, minimum = '0.0.0', platform = HERE } = about;
  const files = new Map([[archiveOf({ version, platform }), createHash('sha256').update(archive).digest('hex')]]);
  const signedText = releaseText({ version, platform, minimum, files });
  return { text: signedText, signature: sign(null, Buffer.from(signedText), privateKey).toString('base64url'), url };
}
