import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../bench/testbed/mosquitto.ts';
import { runCli } from '../../bench/testbed/run-cli.ts';
import { lookAtMachine } from '../../cli/ssh/remote-install.ts';
import { makeJoinToken } from '../../shared/config/join.ts';
import { inCleanRoot, makeCleanRoot, NO_CLEAN_ROOT } from '../support/clean-root.ts';

/** If it fails, a Raspberry Pi that runs already cannot be made a node from another machine. */

const SSHD = '/usr/sbin/sshd';
const missing = NO_CLEAN_ROOT ?? (spawnSync(SSHD, ['-?']).error === undefined ? undefined : 'no sshd');

const folder = mkdtempSync(join(tmpdir(), 'tessera-ssh-'));
const root = join(folder, 'root');
const said = (): string => readFileSync(join(root, 'var/log/said'), 'utf8');
let sshd: ChildProcess;

/** A package as far as the sending side looks at it. */
function packageFor(architecture: string): string {
  const file = join(folder, `${architecture}.deb`);
  writeFileSync(
    file,
    `!<arch>\ndebian-binary\nPackage: tessera\nArchitecture: ${architecture}\n\0\xff${'x'.repeat(1e6)}`,
  );
  return file;
}

beforeAll(async () => {
  if (missing !== undefined) return;
  const record = 'echo "$(basename "$0") $*" >>/var/log/said';
  makeCleanRoot(root, {
    dpkg: `[ "$1" = --print-architecture ] && { cat /etc/arch; exit; }; cmp "$2" /etc/sent.deb && ${record.replace('$*', '$1')}`,
    hostname: 'echo Kitchen.local',
    sudo: `${record}; shift; exec "$@"`,
    tessera: `${record}; cat "$5" >>/var/log/said`,
  });
  writeFileSync(join(root, 'etc/arch'), 'arm64\n');
  copyFileSync(packageFor('arm64'), join(root, 'etc/sent.deb'));
  writeFileSync(join(root, 'var/log/said'), '');
  for (const path of ['var/log/said', 'tmp']) chmodSync(join(root, path), 0o777);
  appendFileSync(join(root, 'etc/passwd'), 'sshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n');
  for (const path of ['run/sshd', 'etc/ssh', 'root/.ssh', 'home/first/.ssh'])
    mkdirSync(join(root, path), { recursive: true, mode: 0o755 });
  for (const key of [join(root, 'etc/ssh/host'), join(folder, 'key')])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  for (const home of ['root', 'home/first'])
    copyFileSync(join(folder, 'key.pub'), join(root, home, '.ssh/authorized_keys'));
  const port = await freePort();
  const settings = [
    ...[
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      'HostKey /etc/ssh/host',
      'PidFile none',
      'UsePAM no',
      'StrictModes no',
    ],
    ...['SetEnv PATH=/stubs:/usr/sbin:/usr/bin', 'PermitRootLogin yes'],
  ];
  writeFileSync(join(root, 'etc/ssh/sshd_config'), `${settings.join('\n')}\n`);
  const hostKey = readFileSync(join(root, 'etc/ssh/host.pub'), 'utf8');
  writeFileSync(join(folder, 'known'), `[127.0.0.1]:${port} ${hostKey}`);
  const config = [`Host pi`, 'HostName 127.0.0.1', `Port ${port}`, `IdentityFile ${join(folder, 'key')}`];
  const own = ['IdentitiesOnly yes', `UserKnownHostsFile ${join(folder, 'known')}`, 'BatchMode yes'];
  writeFileSync(join(folder, 'ssh_config'), `${[...config, ...own].join('\n')}\n`);
  const [program, ...words] = inCleanRoot(root, SSHD, '-D', '-e', '-f', '/etc/ssh/sshd_config');
  sshd = spawn(program!, words, { stdio: ['ignore', 'ignore', 'pipe'] });
  for await (const line of createInterface({ input: sshd.stderr! })) if (line.includes('listening')) break;
  sshd.stderr!.resume();
});
afterAll(async () => {
  if (sshd !== undefined) {
    sshd.kill();
    await once(sshd, 'exit');
  }
  rmSync(folder, { recursive: true, force: true });
});

const token = makeJoinToken({
  server: 'mqtt://192.0.2.1:1883',
  user: 'pi-7',
  code: 'c'.repeat(43),
  expires: Date.now() / 1000 + 600,
  keys: ['k'],
});
const install = (destination: string, file: string) =>
  runCli(
    ['node', 'install', destination, '--join-file', '-', '--ssh-config', join(folder, 'ssh_config'), '--bundle', file],
    {
      input: `${token}\n`,
    },
  );

describe.skipIf(missing !== undefined)(`node install${missing === undefined ? '' : ` (skipped: ${missing})`}`, () => {
  it.each(['first@pi', 'root@pi'])('sends package and token to %s, and starts the service', async (destination) => {
    const before = said();
    const { code, stdout, stderr } = await install(destination, packageFor('arm64'));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(`${destination}: node pi-7 is installed and joins mqtt://192.0.2.1:1883\n`);
    const lines = said().slice(before.length).trim().split('\n');
    const rest = lines.filter((line) => !line.startsWith('sudo'));
    expect(rest).toEqual([
      'dpkg -i',
      expect.stringMatching(/^tessera service install agent --join-file \/tmp\/\S+\/token$/),
      token,
    ]);
    expect(lines.some((line) => line.startsWith('sudo'))).toBe(destination.startsWith('first'));
    expect(lines.filter((line) => line !== token).join()).not.toContain(token);
    expect(execFileSync('ls', [join(root, 'tmp')], { encoding: 'utf8' })).toBe('');
  });

  it('refuses a package for another machine, and machines that no package is for', async () => {
    const other = await install('first@pi', packageFor('amd64'));
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('is not for arm64') });
    writeFileSync(join(root, 'etc/arch'), 'armhf\n');
    const old = await install('first@pi', packageFor('arm64'));
    expect(old).toMatchObject({ code: 1, stderr: expect.stringContaining('first@pi is of architecture armhf') });
    writeFileSync(join(root, 'etc/arch'), 'arm64\n');
  });

  it('reads what the machine is behind the words of its shell, and of its membership the id alone', async () => {
    const remote = { destination: 'first@pi', config: join(folder, 'ssh_config') };
    writeFileSync(join(root, 'home/first/.ssh/rc'), 'echo welcome\necho amd64\n');
    expect(await lookAtMachine(remote)).toEqual({ arch: 'arm64', host: 'kitchen', member: undefined });
    const state = join(root, 'var/lib/tessera-agent');
    mkdirSync(state, { recursive: true });
    writeFileSync(
      join(state, 'membership.json'),
      JSON.stringify({ base: 'tessera', user: 'pi-7', password: 'p' }, null, 2),
    );
    expect(await lookAtMachine(remote)).toEqual({ arch: 'arm64', host: 'kitchen', member: 'pi-7' });
    rmSync(join(root, 'home/first/.ssh/rc'));
  });

  it('says what ssh or the machine said', async () => {
    const refused = await install('nobody@pi', packageFor('arm64'));
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('Permission denied') });
    writeFileSync(join(root, 'etc/sent.deb'), 'another one');
    const failed = await install('first@pi', packageFor('arm64'));
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('differ') });
    const hostile = await install('-oProxyCommand=x', packageFor('arm64'));
    expect(hostile.code).toBe(2);
  });
});
