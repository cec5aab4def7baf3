import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CLI, RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { COMMANDS } from '../../cli/commands.ts';
import { SCHEMAS } from '../../cli/schemas.ts';

/** Exit codes, the shape of errors and what goes to which stream are what scripts are built on. */

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tessera-cli-'));
});
afterAll(() => rm(cwd, { recursive: true }));

describe('the command line', () => {
  it('lists every command, and answers --help of each with examples that begin with its name', async () => {
    const { code, stdout } = await runCli(['--help'], { cwd });
    expect(code).toBe(0);
    for (const { name, load } of COMMANDS) {
      expect(stdout).toContain(name.split(' ')[0]);
      const help = await runCli([...name.split(' '), '--help'], { cwd });
      expect(help).toMatchObject({ code: 0, stderr: '' });
      for (const [line] of (await load()).command.examples) {
        expect(help.stdout).toContain(line);
        expect(line.startsWith(name.split(' ')[0]!)).toBe(true);
      }
    }
  });

  it('ends with 2 for wrong usage, in the format of every error', async () => {
    for (const args of [
      ['nope'],
      ['schema', '--nope'],
      ['schema', 'a', 'b'],
      ['publish'],
      ['schema', 'nope'],
      ['model'],
    ]) {
      const { code, stdout, stderr } = await runCli(args, { cwd });
      expect({ args, code, stdout }).toEqual({ args, code: 2, stdout: '' });
      if (args[0] !== 'model') expect(stderr).toMatch(/^error TESSERA_USAGE: .+\nhint: .+\n$/);
    }
    expect((await runCli(['watch', '--frames', 'x'], { cwd })).stderr).toBe(
      'error TESSERA_USAGE: --frames is "x"\nhint: expected a whole number from 1\n',
    );
    expect((await runCli([], { cwd })).code).toBe(2);
  });

  it('ends with 1 for a failure, with a hint', async () => {
    await writeFile(join(cwd, 'wrong.yaml'), 'mqtt: {sever: x}');
    const { code, stdout, stderr } = await runCli(['config', '--config', 'wrong.yaml'], { cwd });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/^error TESSERA_CONFIG: .*unknown key mqtt\.sever\nhint: did you mean mqtt\.server\?\n$/);
    const refused = await runCli(['watch', '--broker', 'mqtt://127.0.0.1:9'], { cwd });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^error TESSERA_BROKER: .+\nhint: .+\n$/);
  });

  it.skipIf(process.platform === 'win32')(
    'refuses a named pipe in place of a file, as reading it might never end',
    async () => {
      const pipe = join(cwd, 'pipe');
      execFileSync('mkfifo', [pipe]);
      const broker = new RunningCli(['broker', '--listen', '127.0.0.1:0'], { cwd });
      onTestFinished(() => void broker.child.kill());
      const [url] = await broker.printed(/mqtt:\/\/127\.0\.0\.1:\d+/);
      for (const [args, expected] of [
        [['config', '--config', pipe], 1],
        [['config', '--password-file', pipe], 2],
        [['publish', 'front', pipe, '--broker', url], 2],
        [['infer', pipe], 2],
        [['model', 'inspect', pipe], 1],
        [['model', 'add', pipe], 1],
        [['model', 'add', `file://${pipe}`], 1],
      ] as const) {
        const env = { STATE_DIRECTORY: join(cwd, 'state') };
        const { code, stdout, stderr } = await runCli(args, { cwd, env });
        expect({ args, code, stdout }, stderr).toEqual({ args, code: expected, stdout: '' });
        expect(stderr).toMatch(/^error TESSERA_[A-Z_]+: .*pipe.*\nhint: .+\n$/m);
      }
    },
  );

  it.skipIf(process.platform === 'win32')(
    'reads what the shell hands it on a descriptor, and standard input',
    async () => {
      const { stdout } = await runCli(['config', '--config', '/dev/stdin'], { cwd, input: 'mqtt: {user: piped}' });
      expect(stdout).toMatch(/^mqtt\.user +piped +file \/dev\/stdin$/m);
      const line = `printf 'mqtt: {user: third}' | "$0" "$1" config --config /dev/fd/3 3<&0 </dev/null`;
      const third = execFileSync('sh', ['-c', line, process.execPath, CLI], { cwd, encoding: 'utf8' });
      expect(third).toMatch(/^mqtt\.user +third +file \/dev\/fd\/3$/m);
    },
  );

  it('shows the configuration with origins and without secrets', async () => {
    await writeFile(join(cwd, 'good.yaml'), 'mqtt: {user: someone}');
    const env = { TESSERA_MQTT__PASSWORD: 'hunter2', TESSERA_CONFIG: 'good.yaml' };
    const text = await runCli(['config', '--broker', 'mqtt://10.0.0.1'], { cwd, env });
    expect(text.code).toBe(0);
    expect(text.stdout).not.toContain('hunter2');
    expect(text.stdout).toMatch(/^mqtt\.server +mqtt:\/\/10\.0\.0\.1 +flag --broker$/m);
    expect(text.stdout).toMatch(/^mqtt\.user +someone +file .*good\.yaml$/m);
    expect(text.stdout).toMatch(/^mqtt\.password +\*\*\* +environment TESSERA_MQTT__PASSWORD$/m);
    const json = JSON.parse((await runCli(['--json', 'config'], { cwd, env })).stdout) as { settings: unknown[] };
    expect(json.settings).toContainEqual({ key: 'log.level', value: 'info', origin: 'default' });
  });

  it('prints a JSON Schema for every name it lists', async () => {
    const { stdout } = await runCli(['schema', '--json'], { cwd });
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { name: string }).name);
    expect(names).toEqual(Object.keys(SCHEMAS));
    const one = JSON.parse((await runCli(['schema', 'result'], { cwd })).stdout) as {
      $schema: string;
      properties: object;
    };
    expect(one.$schema).toContain('2020-12');
    expect(Object.keys(one.properties)).toContain('predictions');
  });
});

describe('a running command', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 on %s', async (signal) => {
    const broker = new RunningCli(['broker', '--listen', '127.0.0.1:0'], { cwd });
    await broker.printed(/broker: mqtt:\/\/127\.0\.0\.1:\d+/);
    const started = performance.now();
    expect((await broker.stop(signal)).code).toBe(0);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('makes the secret of an invited client once, and waits for central before it invites a node', async () => {
    const env = { STATE_DIRECTORY: join(cwd, 'state') };
    const args = [
      'broker',
      '--listen',
      '127.0.0.1:0',
      '--invite',
      'camera:front',
      '--invite',
      'pi-1',
      '--invite-file',
      '-',
    ];
    const broker = new RunningCli(args, { cwd, env });
    await broker.printed(/^camera front: user \S+, password \S+$/m);
    // The node's invitation is used in deployment.test.ts.
    await broker.printed(/^nodes are invited as soon as central has published/m);
    await broker.stop();
    const again = new RunningCli(args, { cwd, env });
    await again.printed(/^camera front is enrolled already$/m);
    expect((await again.stop()).stdout).not.toContain('password');
  });

  it('prints no secret without a terminal, as in a service, but writes it to a private file', async () => {
    const env = { STATE_DIRECTORY: join(cwd, 'service') };
    const start = (...more: string[]) => new RunningCli(['broker', '--listen', '127.0.0.1:0', ...more], { cwd, env });
    const broker = start('--invite', 'camera:front');
    const [, path] = await broker.printed(/camera-front is invited: (\S+) contains how/);
    const asked = join(cwd, 'asked.txt');
    const other = start('--invite', 'camera:side', '--invite', 'viewer:anna', '--invite-file', asked);
    await other.printed(/viewer-anna is invited/);
    const ended = [await broker.stop(), await other.stop()];
    const [first, second] = [await readFile(path!, 'utf8'), await readFile(asked, 'utf8')];
    expect(first).toMatch(/^camera front: user camera-front, password \S+\n$/);
    expect(second).toMatch(
      /^camera side: user camera-side, password \S+\nviewer anna: user viewer-anna, password \S+\n$/,
    );
    const secrets = [...`${first}${second}`.matchAll(/password (\S+)/g)].map(([, secret]) => secret!);
    expect(secrets).toHaveLength(3);
    for (const { stdout, stderr } of ended) {
      expect(stdout).toBe('');
      for (const secret of secrets) expect(stderr).not.toContain(secret);
    }
    for (const file of [path!, asked]) expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
});
