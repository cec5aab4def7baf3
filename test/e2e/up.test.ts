import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort, NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';

/** `tessera up`: what `npm start` does, on the embedded broker and on Mosquitto. */

let folder: string;
let env: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-up-'));
  env = { STATE_DIRECTORY: join(folder, 'state') };
});
afterAll(() => rm(folder, { recursive: true }));

const hasClients = spawnSync('mosquitto_pub', ['--help']).error === undefined;

async function picture(seed: number): Promise<{ file: string; label: string }> {
  const { label, rgb, width, height } = drawScene(seedRanges.heldOut.from + seed);
  const file = join(folder, `${seed}.jpg`);
  await writeFile(file, await encodeJpeg(rgb, width, height, 90));
  return { file, label };
}

describe('tessera up', () => {
  test('ends by itself after the requested frames, each with a prediction', async () => {
    const { code, stdout, stderr } = await runCli(['up', '--frames', '6', '--nodes', '2', '--fps', '20', '--json'], {
      env,
    });
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/broker: mqtt:\/\/127\.0\.0\.1:\d+/),
    });
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map(({ status }) => status)).toEqual(Array(6).fill('ok'));
    expect(new Set(results.flatMap(({ nodes }) => nodes))).toEqual(new Set(['central', 'node-1', 'node-2']));
    expect(stderr).toMatch(/6 frames, 6 ok, \d of 6 predictions as drawn/);
  });

  test('applies the configuration of node agents, and refuses settings that cannot apply here', async () => {
    const config = join(folder, 'tessera.yaml');
    await writeFile(config, 'node: {tier: cloud, threads: 1, memory_mb: 321}\nlog: {level: error}\n');
    const up = new RunningCli(['up', '--nodes', '1', '--camera', 'none', '--config', config], { env });
    onTestFinished(() => void up.stop());
    const [, url] = await up.printed(/broker: (mqtt:\/\/127\.0\.0\.1:\d+)/);
    await up.printed(/waiting for frames/);
    const { stdout } = await runCli(['nodes', '--broker', url!, '--json'], { cwd: folder });
    const [node] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(JSON.stringify(node)).toMatch(
      /"tier":"cloud".*"session_memory_mb":321|"session_memory_mb":321.*"tier":"cloud"/,
    );

    for (const [yaml, key] of [
      ['central: {standby: true}', 'central.standby'],
      ['broker: {anonymous: never}', 'broker.anonymous'],
    ] as const) {
      await writeFile(config, yaml);
      const refused = await runCli(['up', '--frames', '1', '--config', config], { env });
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`error TESSERA_CONFIG: ${key} is`) });
    }
  });

  test('stops on SIGTERM with exit code 0 and leaves no agent behind', async () => {
    const up = new RunningCli(['up', '--nodes', '2'], { env });
    const [, port] = await up.printed(/broker: mqtt:\/\/127\.0\.0\.1:(\d+)/);
    // For people: an explanation of the line, one annotated picture, and next steps; each once.
    await up.printed(/each line: frame, prediction[^\n]*\n/);
    await up.printed(/scene-/);
    const [, path] = await up.printed(/look at it: (\S+)\n/);
    expect([...(await readFile(path!)).subarray(0, 3)]).toEqual([0xff, 0xd8, 0xff]);
    await up.printed(/main\.js watch.*\n.*infer photo\.jpg/);
    const started = performance.now();
    const { code } = await up.stop('SIGTERM');
    expect(code).toBe(0);
    expect(performance.now() - started).toBeLessThan(10_000);
    const { stdout } = await promisify(execFile)('ps', ['-eo', 'args']);
    expect(stdout.split('\n').filter((line) => line.includes(`agent --broker mqtt://127.0.0.1:${port}`))).toEqual([]);
  });

  test.skipIf(!hasClients)('mosquitto_pub and mosquitto_sub are enough to use it', async () => {
    const up = new RunningCli(['up', '--nodes', '2', '--camera', 'none'], { env });
    onTestFinished(() => void up.child.kill('SIGKILL'));
    const [, port] = await up.printed(/broker: mqtt:\/\/127\.0\.0\.1:(\d+)/);
    await up.printed(/waiting for frames/);
    const { file, label } = await picture(11);
    const results = promisify(execFile)('mosquitto_sub', [
      '-p',
      port!,
      '-t',
      'tessera/result/+/+',
      '-C',
      '1',
      '-W',
      '30',
    ]);
    // Results are retained, so the order of both does not matter.
    await promisify(execFile)('mosquitto_pub', ['-p', port!, '-t', 'tessera/input/front', '-f', file]);
    const result = JSON.parse((await results).stdout);
    expect(result).toMatchObject({ camera: 'front', model: 'scenes', status: 'ok', top: { label } });
    expect((await up.stop()).code).toBe(0);
  });

  test('runs the same on Mosquitto', async ({ skip }) => {
    const broker = await startMosquitto();
    if (broker === undefined) return skip(NO_MOSQUITTO);
    onTestFinished(() => broker.stop());
    const { code, stdout } = await runCli(
      ['up', '--frames', '4', '--nodes', '2', '--fps', '20', '--broker', broker.url, '--json'],
      { env },
    );
    expect(code).toBe(0);
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map(({ status }) => status)).toEqual(Array(4).fill('ok'));
    // The same by the configuration.
    const up = new RunningCli(['up', '--nodes', '0', '--camera', 'none'], {
      env: { ...env, TESSERA_MQTT__SERVER: broker.url },
    });
    onTestFinished(() => void up.child.kill('SIGKILL'));
    expect((await up.printed(/broker: (.*)/))[1]).toBe(broker.url);
    expect((await up.stop()).code).toBe(0);
  });

  test('the broker listens where the configuration says, and a flag wins', async () => {
    const port = await freePort();
    const config = join(folder, 'listen.json');
    const listen = [`ws://127.0.0.1:${await freePort()}`, `mqtt://127.0.0.1:${port}`];
    await writeFile(config, JSON.stringify({ broker: { listen } }));
    const start = (...more: string[]) =>
      new RunningCli(['up', '--nodes', '1', '--camera', 'none', '--config', config, ...more], { env });
    const up = start();
    onTestFinished(() => void up.child.kill('SIGKILL'));
    const [, urls] = await up.printed(/broker: (.*)/);
    expect(urls).toBe(listen.toReversed().join(', '));
    await up.printed(/waiting for frames/);
    expect((await up.stop()).code).toBe(0);
    const other = await freePort();
    const flagged = start('--listen', `127.0.0.1:${other}`);
    onTestFinished(() => void flagged.child.kill('SIGKILL'));
    expect((await flagged.printed(/broker: (.*)/))[1]).toBe(`mqtt://127.0.0.1:${other}`);
    expect((await flagged.stop()).code).toBe(0);
  });

  test('a second machine joins by the invitation that --listen prints', async () => {
    const up = new RunningCli(['up', '--nodes', '1', '--camera', 'none', '--listen', '0.0.0.0', '--invite-file', '-'], {
      env,
    });
    onTestFinished(() => void up.child.kill('SIGKILL'));
    const [, token] = await up.printed(/agent --join (\S+)/);
    await up.printed(/waiting for frames/);
    const [, port] = await up.printed(/broker: mqtt:\/\/0\.0\.0\.0:(\d+)/);
    const agent = new RunningCli(['agent', '--join', token!], { env: { STATE_DIRECTORY: join(folder, 'second') } });
    onTestFinished(() => void agent.child.kill('SIGKILL'));
    const { stdout } = await runCli(['nodes', '--broker', `mqtt://127.0.0.1:${port}`, '--json'], { env });
    await expect
      .poll(async () => (await runCli(['nodes', '--broker', `mqtt://127.0.0.1:${port}`, '--json'], { env })).stdout, {
        timeout: 20_000,
      })
      .toContain('machine-2');
    expect(stdout).toContain('node-1');
    expect((await agent.stop()).code).toBe(0);
    expect((await up.stop()).code).toBe(0);
  });
});
