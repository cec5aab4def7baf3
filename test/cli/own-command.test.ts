import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asTyped, ownCommand } from '../../cli/own-command.ts';

const script = '/opt/tessera/dist/cli/main.js';
const path = ['/usr/local/bin', '/usr/bin'];

describe('the command that hints show', () => {
  it.each([
    ['in the folder', script, '/opt/tessera', 'node dist/cli/main.js'],
    ['by npx, in the folder', '/opt/tessera/node_modules/.bin/tessera', '/opt/tessera', 'node dist/cli/main.js'],
    ['from elsewhere', script, '/home/me', `node ${script}`],
    ['installed for everybody', '/usr/local/bin/tessera', '/home/me', 'tessera'],
    ['a link that no shell finds', '/home/me/tessera', '/home/me', `node ${script}`],
  ])('%s', (_, called, cwd, expected) => {
    expect(ownCommand({ called, script, cwd, path })).toBe(expected);
  });

  it('is the launcher where a bundle was started, by its name where a shell finds it', () => {
    const [called, cwd] = ['/opt/tessera/0.1.0/app/dist/cli/main.js', '/home/me'];
    const own = (launcher: string) => ownCommand({ called, script: called, cwd, path: ['/usr/bin'], launcher });
    expect(own('/usr/bin/tessera')).toBe('tessera');
    expect(own('/opt/tessera/0.1.0/bin/tessera')).toBe('/opt/tessera/0.1.0/bin/tessera');
  });

  it('is quoted for a shell where the folder has a space', () => {
    const spaced = '/home/my user/tessera/dist/cli/main.js';
    expect(ownCommand({ called: spaced, script: spaced, cwd: '/srv', path })).toBe(`node "${spaced}"`);
  });

  it('is in every command of a text, and nowhere else', () => {
    const text = '`tessera nodes` shows it; tessera is well; `tessera agent --join -`';
    expect(asTyped(text, 'node x.js')).toBe('`node x.js nodes` shows it; tessera is well; `node x.js agent --join -`');
  });
});

async function filesBelow(folder: string, pattern: RegExp): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true });
  return entries.filter((file) => pattern.test(file)).map((file) => join(folder, file));
}

describe("no command runs another person's package", () => {
  it('no printed command begins with npx: outside the clone npx would run an unrelated package', async () => {
    const folders = ['cli', 'central', 'node-agent', 'broker', 'shared'];
    const files = (await Promise.all(folders.map((folder) => filesBelow(folder, /\.ts$/)))).flat();
    const texts = await Promise.all(files.map(async (file) => [file, await readFile(file, 'utf8')] as const));
    const said = texts.filter(
      ([file, text]) => /npx\s+(?!--no|--help)[\w@]/.test(text) && !file.endsWith('own-command.ts'),
    );
    expect(said.map(([file]) => file)).toEqual([]);
  });

  it('documents show npx only for what is done in the clone, and never with a token, a password or a service', async () => {
    const files = [...(await filesBelow('docs', /\.md$/)), 'README.md', 'CONTRIBUTING.md', 'training/README.md'];
    for (const file of files) {
      const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line.includes('npx tessera'));
      for (const line of lines)
        expect(`${file}: ${line}`).not.toMatch(/--join|--invite|--password|ExecStart|User=|sudo/);
    }
  });
});
