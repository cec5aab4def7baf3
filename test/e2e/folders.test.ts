import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CLI, runCli } from '../../bench/testbed/run-cli.ts';
import { smallDisk } from '../support/small-disk.ts';

/**
 * Folders for state and temporary files that cannot be created or written. If these fail, users who install a service
 * or a container see a stack trace instead of the folder and the setting to change.
 */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-folders-'));
  // Other users must be able to enter it.
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
/** Settings without a folder that an unprivileged user may write; `named`: what the error must name. */
const SETTINGS: Readonly<Record<string, { env: Record<string, string>; named: string }>> = {
  'a home that is read-only': { env: { HOME: 'closed' }, named: 'closed/.local/state/tessera' },
  'a home that is not there': { env: { HOME: 'none/home' }, named: 'none/home/.local/state/tessera' },
  'STATE_DIRECTORY read-only': { env: { STATE_DIRECTORY: 'closed' }, named: 'closed' },
  'STATE_DIRECTORY a file': { env: { STATE_DIRECTORY: 'file' }, named: 'file' },
  'STATE_DIRECTORY below a file': { env: { STATE_DIRECTORY: 'file/state' }, named: 'file/state' },
};

/** Whether this process may run the command line as an unprivileged user; if not, why. */
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
  // All services find it in the same way; after one setting with all of them two suffice.
  const services = Object.entries(SERVICES).slice(0, named.startsWith('closed/') ? undefined : 2);
  test.for(services)('%s names the folder, with the hint to set STATE_DIRECTORY', ([, args], { skip }) => {
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

  test('infer and verify name it, with the hint to set TMPDIR', async () => {
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

  test('the doctor reports it too', async () => {
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

  test('names the folder that cannot be created, and the setting', async () => {
    const { code, stderr } = await add(join(folder, 'file', 'models'));
    expect(code, stderr).toBe(1);
    isCoded(stderr);
    expect(stderr).toContain('models.dir');
  });

  test('on a full disk changes nothing', async ({ skip }) => {
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
