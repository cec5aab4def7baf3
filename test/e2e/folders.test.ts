import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLI, runCli } from '../../bench/testbed/run-cli.ts';
import { smallDisk } from '../support/small-disk.ts';

/**
 * Folders for state and temporary files that cannot be made or written. If these fail, whoever installs a service or a
 * container reads a stack trace and "a fault of Tessera" instead of which folder it is and what to set.
 */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-folders-'));
  // Other users have to get to what lies in it.
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'closed'));
  await chmod(join(folder, 'closed'), 0o555);
  await writeFile(join(folder, 'file'), '');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const NOWHERE = 'mqtt://127.0.0.1:9';
const SERVICES: Readonly<Record<string, readonly string[]>> = {
  agent: ['agent', '--broker', NOWHERE],
  central: ['central', '--broker', NOWHERE],
  broker: ['broker', '--listen', '127.0.0.1:0'],
  up: ['up', '--frames', '1'],
};
/** Settings that give no folder that a user without rights may write; `named`: what the error has to name. */
const SETTINGS: Readonly<Record<string, { env: Record<string, string>; named: string }>> = {
  'a home that is read-only': { env: { HOME: 'closed' }, named: 'closed/.local/state/tessera' },
  'a home that is not there': { env: { HOME: 'none/home' }, named: 'none/home/.local/state/tessera' },
  'STATE_DIRECTORY read-only': { env: { STATE_DIRECTORY: 'closed' }, named: 'closed' },
  'STATE_DIRECTORY a file': { env: { STATE_DIRECTORY: 'file' }, named: 'file' },
  'STATE_DIRECTORY below a file': { env: { STATE_DIRECTORY: 'file/state' }, named: 'file/state' },
};

/** Whether this process may run the command line as somebody who has no rights at all; why not. */
function whyNotNobody(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root and setpriv on Linux';
  try {
    execFileSync('setpriv', [...NOBODY, process.execPath, CLI, '--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'the user nobody cannot run the command line here';
  }
}
const NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups'];

function asNobody(args: readonly string[], env: Readonly<Record<string, string>>): { code: number; stderr: string } {
  try {
    const command = [...NOBODY, process.execPath, CLI, ...args];
    execFileSync('setpriv', command, { env, stdio: ['ignore', 'ignore', 'pipe'], timeout: 30_000 });
    return { code: 0, stderr: '' };
  } catch (error) {
    const { status, stderr } = error as { status: number | null; stderr: Buffer };
    return { code: status ?? -1, stderr: stderr.toString() };
  }
}

const isCoded = (stderr: string): void => {
  expect(stderr).toMatch(/^error TESSERA_STORAGE: .+\nhint: .+\n$/m);
  expect(stderr).not.toMatch(/fault of Tessera|\n {4}at |TESSERA_INTERNAL/);
};

describe.for(Object.entries(SETTINGS))('with %s', ([, { env, named }]) => {
  // All of them come by it in the same way; two are enough once all have been seen with one setting.
  const services = Object.entries(SERVICES).slice(0, named.startsWith('closed/') ? undefined : 2);
  test.for(services)('%s says which folder, and to set STATE_DIRECTORY', ([, args], { skip }) => {
    const why = whyNotNobody();
    if (why !== undefined) return skip(why);
    const absolute = Object.entries(env).map(([name, path]) => [name, join(folder, path)]);
    const { code, stderr } = asNobody(args, Object.fromEntries(absolute));
    expect(code, stderr).toBe(1);
    isCoded(stderr);
    expect(stderr).toContain(join(folder, named));
    expect(stderr).toContain('set STATE_DIRECTORY to');
  });
});

describe('without a folder for temporary files', () => {
  const missing = (): string => join(folder, 'none');

  test('infer and verify say which one, and to set TMPDIR', async () => {
    const tensor = join(folder, 'x.bin');
    await writeFile(tensor, Buffer.alloc(3 * 64 * 64 * 4));
    for (const args of [['infer', tensor, '--tensor', '1x3x64x64'], ['verify']]) {
      const { code, stderr } = await runCli(args, { env: { TMPDIR: missing() } });
      expect(code, stderr).toBe(1);
      isCoded(stderr);
      expect(stderr).toContain(`${missing()} cannot be used`);
      expect(stderr).toContain('set TMPDIR to');
    }
  });

  test('the doctor says so too', async () => {
    const { stdout } = await runCli(['doctor', '--local'], { env: { TMPDIR: missing() } });
    expect(stdout).toMatch(/fail +temporary files +nothing can be written in .*none/);
    expect(stdout).toContain('TMPDIR');
  });
});

describe('model add', () => {
  const add = (models: string) => {
    const source = join(import.meta.dirname, '../../config/models/scenes/model.onnx');
    return runCli(['model', 'add', source, '--name', 'copy'], { env: { TESSERA_MODELS__DIR: models } });
  };

  test('says which folder cannot be made, and what to set', async () => {
    const { code, stderr } = await add(join(folder, 'file', 'models'));
    expect(code, stderr).toBe(1);
    isCoded(stderr);
    expect(stderr).toContain('models.dir');
  });

  test('on a full disk leaves what was there, and nothing else', async ({ skip }) => {
    const disk = await smallDisk('3m');
    if (disk === undefined) return skip('needs root and a tmpfs on Linux');
    try {
      expect((await add(disk.folder)).code).toBe(0);
      const before = await readdir(disk.folder, { recursive: true });
      const free = disk.fill();
      free(4);
      const { code, stderr } = await runCli(['model', 'add', join(disk.folder, 'copy'), '--name', 'copy', '--force'], {
        env: { TESSERA_MODELS__DIR: disk.folder },
      });
      expect(code, stderr).toBe(1);
      isCoded(stderr);
      expect(stderr).toContain('the disk is full');
      free();
      expect((await readdir(disk.folder, { recursive: true })).sort()).toEqual(before.sort());
    } finally {
      disk.remove();
    }
  });
});
