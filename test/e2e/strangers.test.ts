import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { type CliResult, RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { makeAuthority, NO_OPENSSL } from '../support/certificates.ts';

/**
 * A deployment in which every client authenticates, as separate processes: broker, central, a node that joins, a
 * camera. If it fails, the rules are too strict to work with, or every user of the machine can read secrets.
 */

let folder: string;
let frame: string;
const running: RunningCli[] = [];
const ended: CliResult[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-strangers-'));
  const { rgb, width, height } = drawScene(seedRanges.heldOut.from + 5);
  frame = join(folder, 'frame.jpg');
  await writeFile(frame, await encodeJpeg(rgb, width, height, 90));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  ended.length = 0;
  await rm(folder, { recursive: true });
});

const env = (state: string, more: Record<string, string> = {}) => ({
  STATE_DIRECTORY: join(folder, state),
  TESSERA_LOG__LEVEL: 'debug',
  ...more,
});

function start(args: readonly string[], state: string, more?: Record<string, string>): RunningCli {
  const cli = new RunningCli(args, { cwd: folder, env: env(state, more) });
  running.push(cli);
  return cli;
}

async function run(...args: string[]): Promise<CliResult> {
  const result = await runCli(args, { cwd: folder, env: env('commands') });
  ended.push(result);
  return result;
}

/** Flags of a user with a password file. */
async function as(user: string, password: string): Promise<string[]> {
  const file = join(folder, `${user}.password`);
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  return ['--user', user, '--password-file', file];
}

/** The command lines of all processes of this machine, where it shows them. */
async function commandLines(): Promise<string> {
  const ids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return lines.map((line) => line.replaceAll('\0', ' ')).join('\n');
}

/** Every file below a folder, with its content. */
async function contents(path: string): Promise<{ file: string; text: string; mode: number }[]> {
  const names = await readdir(path, { recursive: true });
  const all = names.map(async (name) => {
    const [file, { mode, size }] = [join(path, name), await stat(join(path, name))];
    return size > 1e6 || !(await stat(file)).isFile() ? [] : [{ file, text: await readFile(file, 'latin1'), mode }];
  });
  return (await Promise.all(all)).flat();
}

describe('a deployment with the built-in broker', () => {
  it('admits invited clients, leaks no secret, and revokes access', async () => {
    const users = ['central:central', 'admin:root', 'camera:front'].flatMap((user) => ['--invite', user]);
    const never = { TESSERA_BROKER__ANONYMOUS: 'never' };
    const broker = start(['broker', '--listen', '127.0.0.1:0', '--invite-file', '-', ...users], 'broker', never);
    const [, url] = await broker.printed(/broker: (mqtt:\S+)/);
    const passwords = new Map<string, string>();
    for (const user of ['central', 'admin-root', 'camera-front']) {
      passwords.set(user, (await broker.printed(new RegExp(`user ${user}, password (\\S+)`)))[1]!);
    }
    const at = async (user: string) => ['--broker', url!, ...(await as(user, passwords.get(user)!))];
    const central = start(['central', '--nodes', '1', '--model', 'scenes', ...(await at('central'))], 'central');
    await central.printed(/central is online/);

    const invited = await run('node', 'invite', 'pi-1', '--json', ...(await at('admin-root')));
    const { token } = JSON.parse(invited.stdout) as { token: string };
    const tokenFile = join(folder, 'token');
    await writeFile(tokenFile, `tessera agent --join ${token}\n`);
    const agent = start(['agent', '--join-file', tokenFile], 'node');
    await agent.printed(/ready for plan/);
    const camera = await at('camera-front');
    const answered = await run('publish', 'front', frame, '--wait', '--json', ...camera);
    expect(JSON.parse(answered.stdout)).toMatchObject({ status: 'ok', nodes: expect.arrayContaining(['pi-1']) });

    const member = JSON.parse(await readFile(join(folder, 'node', 'membership.json'), 'utf8')) as { password: string };
    const { code } = JSON.parse(Buffer.from(token.slice('tessera1.'.length), 'base64url').toString()) as {
      code: string;
    };
    const secrets = [...passwords.values(), member.password, code];
    const processes = await commandLines();
    expect(processes).toContain('--join-file');
    for (const secret of secrets) expect(processes).not.toContain(secret);

    // A secret is printed once to the user who requested it, and nowhere else.
    const [shown] = ended.splice(ended.indexOf(invited), 1);
    expect(shown!.stderr).not.toContain(code);
    const config = await runCli(['config', '--json', ...camera], { cwd: folder, env: env('commands') });
    expect(config.stdout).toContain('"***"');

    const revoked = await run('node', 'revoke', 'pi-1', '--json', ...(await at('admin-root')));
    expect(JSON.parse(revoked.stdout)).toMatchObject({ user: 'pi-1', closed: 1 });
    const out = await agent.ended();
    expect(out.code).toBe(1);
    expect(out.stderr).toMatch(/error TESSERA_BROKER: .* no longer accepts pi-1: its access was revoked/);
    expect(out.stderr).toMatch(/hint: .*`node \S+main.js node invite pi-1`/);
    // When its service restarts it, it prints the same.
    const restarted = await runCli(['agent'], { cwd: folder, env: env('node') });
    expect(restarted).toMatchObject({ code: 1, stderr: expect.stringContaining('no longer accepts pi-1') });
    const listed = await run('nodes', '--json', ...(await at('admin-root')));
    expect(listed.stdout).toContain('"online":false');
    const again = await runCli(['agent', '--join-file', tokenFile], { cwd: folder, env: env('other') });
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('error TESSERA_INVITATION') });

    // Following the hint restores its access, and from then on `agent` alone suffices.
    const anew = JSON.parse((await run('node', 'invite', 'pi-1', '--json', ...(await at('admin-root')))).stdout);
    ended.pop();
    await writeFile(tokenFile, anew.token);
    const back = start(['agent', '--join-file', tokenFile], 'node');
    await back.printed(/ready for plan/);
    await back.stop();
    await start(['agent'], 'node').printed(/ready for plan/);
    const { password } = JSON.parse(await readFile(join(folder, 'node', 'membership.json'), 'utf8'));
    secrets.push(password, JSON.parse(Buffer.from(anew.token.slice('tessera1.'.length), 'base64url').toString()).code);

    const stopped = await Promise.all(running.splice(0).map((one) => one.stop()));
    const brokerOutput = stopped[0]!;
    const printed = [...stopped.slice(1), ...ended, config, again].map(({ stdout, stderr }) => stdout + stderr);
    for (const secret of secrets) {
      for (const text of [...printed, brokerOutput.stderr]) expect(text).not.toContain(secret);
    }
    for (const state of ['broker', 'central', 'node']) {
      for (const { file, text, mode } of await contents(join(folder, state))) {
        const isOwn = file.endsWith('membership.json');
        expect(
          secrets.some((secret) => text.includes(secret)),
          file,
        ).toBe(isOwn);
        if (isOwn || /credentials|signing-key/.test(file)) expect(mode & 0o777, file).toBe(0o600);
      }
    }
  });

  it('signs its models: a node that joined runs no models of another central', async () => {
    const broker = start(['broker', '--listen', '127.0.0.1:0', '--invite', 'pi-1', '--invite-file', '-'], 'broker');
    const [, url] = await broker.printed(/broker: (mqtt:\S+)/);
    const serve = ['central', '--nodes', '1', '--model', 'scenes', '--broker', url!];
    const first = start(serve, 'central');
    const [, token] = await broker.printed(/^node dist\/cli\/main.js agent --join (\S+)$/m);
    const agent = new RunningCli(['agent', '--join', '-'], { cwd: folder, env: env('node'), input: token! });
    running.push(agent);
    await agent.printed(/ready for plan/);
    await first.stop();
    await agent.stop();

    const other = start(serve, 'another');
    await other.printed(/central is online/);
    // Its membership is stored, so it needs no further options.
    const back = start(['agent'], 'node');
    await back.printed(/node pi-1 is online at mqtt:/);
    await back.printed(/refuses a plan: .*code=TESSERA_SIGNATURE/);
    await other.printed(/pi-1 refuses: .* is not signed by the key that this node trusts/);

    // A program on the broker's own machine needs no signature, as it needs no password.
    const local = start(['agent', '--broker', url!, '--id', 'local-1'], 'local');
    await local.printed(/ready for plan/);
  });
});

describe('tessera up --listen', () => {
  it('uses TLS where there is a certificate, and puts it into its invitation', async ({ skip }) => {
    const authority = await makeAuthority();
    if (authority === undefined) return skip(NO_OPENSSL);
    try {
      const { keyFile, cert } = await authority.issue('broker', true);
      const chain = join(folder, 'chain.pem');
      await writeFile(chain, cert + authority.cert);
      const tls = { TESSERA_BROKER__CERT: chain, TESSERA_BROKER__KEY: keyFile };
      const up = start(
        ['up', '--nodes', '1', '--camera', 'none', '--listen', '0.0.0.0', '--invite-file', '-'],
        'up',
        tls,
      );
      const [, port] = await up.printed(/mqtts:\/\/0\.0\.0\.0:(\d+)/);
      const [, token] = await up.printed(/agent --join (\S+)/);
      // The certificate is for this address; the invitation guesses the network's.
      const agent = start(['agent', '--join', token!, '--broker', `mqtts://127.0.0.1:${port}`], 'node');
      await agent.printed(/node machine-2 is online at mqtts:/);
      await agent.printed(/ready for plan/);
    } finally {
      await Promise.all(running.splice(0).map((one) => one.stop()));
      await authority.remove();
    }
  });
});

describe('a deployment with Mosquitto', () => {
  it('works under the rules and passwords of `tessera acl`', async ({ skip }) => {
    await mkdir(join(folder, 'mosquitto'));
    const [aclFile, passwordFile] = ['acl', 'passwords'].map((name) => join(folder, 'mosquitto', name)) as [
      string,
      string,
    ];
    const users = ['pi-1', 'camera:front', 'viewer:anna'].flatMap((user) => ['--user', user]);
    const acl = await run('acl', ...users, '--passwords', passwordFile);
    expect(acl.code).toBe(0);
    await writeFile(aclFile, acl.stdout);
    expect((await stat(passwordFile)).mode & 0o777).toBe(0o600);
    const passwords = new Map(
      [...acl.stderr.matchAll(/user (\S+), password (\S+)/g)].map(([, user, it]) => [user!, it!]),
    );
    expect([...passwords.keys()].sort()).toEqual(['camera-front', 'central', 'pi-1', 'viewer-anna']);
    const kept = await readFile(passwordFile, 'utf8');
    for (const secret of passwords.values()) expect(kept + acl.stdout).not.toContain(secret);
    // A second run changes no password, and keeps all sections.
    const again = await run('acl', '--passwords', passwordFile);
    expect(again.stderr).toBe('');
    expect(again.stdout).toBe(acl.stdout);
    expect(await readFile(passwordFile, 'utf8')).toBe(kept);

    const extra = ['allow_anonymous false', `acl_file ${aclFile}`, `password_file ${passwordFile}`];
    const mosquitto = await startMosquitto({ extra });
    if (mosquitto === undefined) return skip(NO_MOSQUITTO);
    try {
      const at = async (user: string) => ['--broker', mosquitto.url, ...(await as(user, passwords.get(user)!))];
      const central = start(['central', '--nodes', '1', '--model', 'scenes', ...(await at('central'))], 'central');
      const [, key] = await central.printed(/models are signed with (\S+)/);
      await central.printed(/central is online/);
      const trust = { TESSERA_NODE__TRUSTED_KEYS: `['${key}']` };
      const agent = start(['agent', '--id', 'pi-1', ...(await at('pi-1'))], 'node', trust);
      await agent.printed(/ready for plan/);
      const answered = await run('publish', 'front', frame, '--wait', '--json', ...(await at('camera-front')));
      expect(JSON.parse(answered.stdout)).toMatchObject({ status: 'ok', nodes: expect.arrayContaining(['pi-1']) });
      const listed = await run('nodes', '--json', ...(await at('viewer-anna')));
      expect(listed.stdout).toContain('"id":"pi-1","online":true');
      const refused = await run('node', 'invite', 'pi-2', ...(await at('viewer-anna')));
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('--password-file of an admin') });
    } finally {
      await Promise.all(running.splice(0).map((one) => one.stop()));
      await mosquitto.stop();
    }
  });
});
