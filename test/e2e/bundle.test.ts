import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBroker } from '../../broker/broker.ts';
import { createCredentials } from '../../broker/credentials.ts';
import { mountedVolume } from '../../cli/flash/boot-volume.ts';
import { makeCards } from '../../cli/flash/make-cards.ts';
import { prepareCard } from '../../cli/flash/prepare-card.ts';
import { makeJoinToken } from '../../shared/config/join.ts';
import type { Bus } from '../../shared/ports.ts';
import { silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { hashSecret, newSecret } from '../../shared/runtime/secret.ts';
import { openSigningKey } from '../../shared/runtime/signature.ts';
import { packageVersion } from '../../shared/runtime/version.ts';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import { makeCleanRoot, NO_CLEAN_ROOT, runInRoot } from '../support/clean-root.ts';

/**
 * Bundles as users get them. If it fails, a machine without Node cannot run the program, or somebody who makes the
 * bundle again cannot tell whether it is the same.
 */

const run = promisify(execFile);
const has = (program: string): boolean => spawnSync('which', [program]).status === 0;
const lacks = [
  ...['zstd', 'tar', 'npm', 'openssl', 'dpkg-deb'].filter((program) => !has(program)),
  ...(process.platform === 'linux' && process.arch === 'x64' && process.getuid?.() === 0 ? [] : ['root on Linux x64']),
];
const lacksEmulator = has('qemu-aarch64-static') ? [] : ['qemu-aarch64-static'];
const LIBRARIES = '/usr/aarch64-linux-gnu';

/** What the kernel of a Raspberry Pi 4 says of its cores; ONNX Runtime for arm64 dies of that of another processor. */
const PI_4_CPUINFO = Array.from(
  { length: 4 },
  (_, core) => `processor\t: ${core}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
`,
).join('\n');

let folder: string;

async function bundle(arch: string, out: string): Promise<string> {
  const words = ['--arch', arch, '--fast', '--out', join(folder, out), '--key', join(folder, 'key.pem')];
  await run(process.execPath, [compiledFile(import.meta.url, '../../bundle/main.ts'), ...words]);
  return join(folder, out, `tessera-${packageVersion()}-linux-${arch}`);
}

async function unpacked(archive: string, name: string): Promise<string> {
  const root = join(folder, name);
  await mkdir(root);
  await run('tar', ['--zstd', '-xf', archive, '-C', root]);
  return root;
}

/** Copies a program of this machine into a root. */
async function addProgram(root: string, program: string): Promise<void> {
  await mkdir(dirname(join(root, program)), { recursive: true });
  await cp(program, join(root, program), { dereference: true });
  await addLibraries(root, program);
}

/** Copies the libraries of this machine that a file is linked to into a root. */
async function addLibraries(root: string, file: string): Promise<void> {
  const { stdout } = await run('ldd', [file]);
  for (const [library] of stdout.matchAll(/\/[^\s)]+/g)) {
    if (library.startsWith(root)) continue;
    await mkdir(dirname(join(root, library)), { recursive: true });
    await cp(library, join(root, library), { dereference: true });
  }
}

/** Resolves when a node says that it is online. */
function untilOnline(bus: Bus, node: string): Promise<void> {
  return new Promise((resolve) => {
    void bus.subscribe(`tessera/node/${node}/status`, 1, ({ payload }) => {
      if (Buffer.from(payload).toString() === 'online') resolve();
    });
  });
}

describe.skipIf(lacks.length > 0)(`bundles${lacks.length > 0 ? ` (skipped: no ${lacks.join(', ')})` : ''}`, () => {
  let x64: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tessera-bundles-'));
    x64 = await bundle('x64', 'first');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('are the same bytes when they are made again, and signed', async () => {
    const again = await bundle('x64', 'second');
    expect(await readFile(`${again}.sha256`, 'utf8')).toBe(await readFile(`${x64}.sha256`, 'utf8'));
    const checked = execFileSync('sha256sum', ['-c', `${x64}.sha256`], { cwd: dirname(x64), encoding: 'utf8' });
    expect(checked.match(/: OK$/gm)).toHaveLength(2);
    const publicKey = join(folder, 'key.pub');
    execFileSync('openssl', ['pkey', '-in', join(folder, 'key.pem'), '-pubout', '-out', publicKey]);
    const signed = ['-in', `${x64}.sha256`, '-sigfile', `${x64}.sha256.sig`];
    const said = execFileSync('openssl', ['pkeyutl', '-verify', '-pubin', '-inkey', publicKey, '-rawin', ...signed]);
    expect(`${said}`).toContain('Verified Successfully');
  });

  it('are a package that dpkg reads', () => {
    const field = (name: string) => execFileSync('dpkg-deb', ['-f', `${x64}.deb`, name], { encoding: 'utf8' }).trim();
    expect([field('Package'), field('Architecture')]).toEqual(['tessera', 'amd64']);
    const files = execFileSync('dpkg-deb', ['-c', `${x64}.deb`], { encoding: 'utf8', maxBuffer: 1e8 });
    expect(files).toMatch(/usr\/bin\/tessera -> \/opt\/tessera\/current\/bin\/tessera$/m);
  });

  it('pass the self-test in a root that has a shell and the C and C++ libraries, and nothing else', async () => {
    const root = await unpacked(`${x64}.tar.zst`, 'empty');
    const current = join(root, 'opt/tessera', packageVersion());
    for (const program of ['/bin/sh', '/usr/bin/readlink']) await addProgram(root, program);
    await addLibraries(root, join(current, 'bin/node'));
    await addLibraries(
      root,
      join(current, 'app/node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1'),
    );
    await mkdir(join(root, 'tmp'));
    const { stdout } = await run('chroot', [root, '/usr/bin/tessera', '--self-test', '--json']);
    const found = JSON.parse(stdout);
    expect(found).toMatchObject({ platform: 'linux-x64', right: found.of });
    expect(found.node).not.toBe(process.version);
  });

  it('start an agent without the picture decoder and the parts of the broker', async () => {
    const root = await unpacked(`${x64}.tar.zst`, 'agent');
    const home = join(root, 'opt/tessera', packageVersion());
    for (const name of ['sharp', '@img', 'aedes']) await rm(join(home, 'app/node_modules', name), { recursive: true });
    const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    const bus = await connectBus({ url: broker.urls[0]!, clientId: 'watcher', log: silentLog });
    const words = ['agent', '--broker', broker.urls[0]!, '--id', 'bundled'];
    const agent = spawn(join(home, 'bin/tessera'), words, {
      stdio: 'inherit',
      env: { ...process.env, STATE_DIRECTORY: join(folder, 'state') },
    });
    try {
      await untilOnline(bus, 'bundled');
    } finally {
      agent.kill();
      await once(agent, 'exit');
      await bus.stop();
      await broker.stop();
    }
  });

  it.skipIf(NO_CLEAN_ROOT !== undefined)(
    `join from a card without a network but the broker${NO_CLEAN_ROOT === undefined ? '' : ` (skipped: ${NO_CLEAN_ROOT})`}`,
    async () => {
      const root = join(folder, 'card');
      // dpkg of a read-only /usr: what the package has in it lies among the stubs.
      const dpkg =
        'dpkg-deb --fsys-tarfile "$2" | tar -x -C / opt && ln -s /opt/tessera/current/bin/tessera /stubs/tessera';
      makeCleanRoot(root, { systemctl: 'echo "$*" >>/var/log/said', dpkg });
      await mkdir(join(root, 'etc/systemd/system'), { recursive: true });
      const boot = join(root, 'boot/firmware');
      for (const name of ['config.txt', 'cmdline.txt']) await writeFile(join(boot, name), 'rootwait\n');
      const credentials = await createCredentials(join(folder, 'broker'));
      const broker = await startBroker({
        listen: ['mqtt://127.0.0.1:0'],
        anonymous: 'loopback',
        credentials,
        log: silentLog,
      });
      const code = newSecret();
      await credentials.invite('node', 'pi-1', hashSecret(code), Date.now() / 1000 + 600);
      const token = makeJoinToken({
        server: broker.urls[0]!,
        user: 'pi-1',
        code,
        expires: Date.now() / 1000 + 600,
        keys: [(await openSigningKey(folder)).publicKey],
      });
      const [card] = makeCards(['pi-1'], { user: 'pi', keys: `ssh-ed25519 ${'A'.repeat(68)}` });
      await prepareCard(mountedVolume(boot), card!, token, await readFile(`${x64}.deb`), boot);
      runInRoot(root, 'sh', '/boot/firmware/firstrun.sh');
      expect(await readFile(join(root, 'var/log/said'), 'utf8')).toContain('enable tessera-agent.service\n');
      const unit = await readFile(join(root, 'etc/systemd/system/tessera-agent.service'), 'utf8');
      expect(unit).toContain('ExecStart=/stubs/tessera agent --join-file %d/join\n');

      const bus = await connectBus({ url: broker.urls[0]!, clientId: 'watcher', log: silentLog });
      const agent = spawn(
        join(root, 'opt/tessera', packageVersion(), 'bin/tessera'),
        ['agent', '--join-file', join(root, 'etc/tessera/agent.join')],
        { stdio: 'inherit', env: { ...process.env, STATE_DIRECTORY: join(folder, 'card-state') } },
      );
      try {
        await untilOnline(bus, 'pi-1');
      } finally {
        agent.kill();
        await once(agent, 'exit');
        await bus.stop();
        await broker.stop();
      }
    },
  );

  it.skipIf(lacksEmulator.length > 0)(
    `pass the self-test on the processor of a Raspberry Pi 4${lacksEmulator.map((name) => ` (skipped: no ${name})`)}`,
    async () => {
      const root = await unpacked(`${await bundle('arm64', 'arm64')}.tar.zst`, 'pi');
      const cpuinfo = join(folder, 'cpuinfo');
      await writeFile(cpuinfo, PI_4_CPUINFO);
      const home = join(root, 'opt/tessera', packageVersion());
      const script =
        'mount --bind "$1" /proc/cpuinfo && exec qemu-aarch64-static -cpu cortex-a72 -L "$2" "$3/bin/node" ' +
        '"$3/app/dist/cli/main.js" --self-test --json';
      const { stdout } = await run('unshare', ['-m', 'sh', '-c', script, 'sh', cpuinfo, LIBRARIES, home]);
      const found = JSON.parse(stdout);
      expect(found).toMatchObject({ platform: 'linux-arm64', right: found.of });
    },
  );
});
