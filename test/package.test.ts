import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

interface Locked {
  readonly engines?: { readonly node?: string };
  readonly hasInstallScript?: boolean;
}

const read = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'));
const lock = (await read('package-lock.json')) as { readonly packages: Readonly<Record<string, Locked>> };
const own = (await read('package.json')) as { readonly engines: { readonly node: string } };

it('no install script of a dependency runs, with npm 10 either: one of them downloads hundreds of megabytes, or fails', () => {
  const scripted = Object.entries(lock.packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
  expect(scripted.map(([path]) => path)).toEqual([]);
});

it('the lock file, README.md and CI name the versions of Node.js that package.json allows', async () => {
  expect(lock.packages['']?.engines).toEqual(own.engines);
  const versions = own.engines.node.match(/\d+\.\d+/g)!;
  const [readme, pairs] = await Promise.all([readFile('README.md', 'utf8'), readFile('.ci/node-versions', 'utf8')]);
  for (const version of versions) {
    expect(readme.slice(0, readme.indexOf('```sh'))).toContain(version);
    expect(pairs).toContain(`${version}.0:10`);
  }
});
