import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';

/** Every part is a process with its own state, on either broker: nothing may depend on the embedded one. */

let folder: string;
const running: RunningCli[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-brokers-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});
afterAll(() => rm(folder, { recursive: true }));

function start(args: readonly string[], state: string): RunningCli {
  const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, state) } });
  running.push(cli);
  return cli;
}

async function pictures(count: number): Promise<{ files: string[]; labels: string[] }> {
  const scenes = Array.from({ length: count }, (_, i) => drawScene(seedRanges.heldOut.from + 100 + i));
  const files = await Promise.all(
    scenes.map(async ({ rgb, width, height }, i) => {
      const file = join(folder, `${i}.jpg`);
      await writeFile(file, await encodeJpeg(rgb, width, height, 90));
      return file;
    }),
  );
  return { files, labels: scenes.map(({ label }) => label) };
}

describe.each(['embedded', 'mosquitto'] as const)('central and agents on the %s broker', (kind) => {
  test('agents download the model over the broker and share the frames', async ({ skip }) => {
    let url: string;
    if (kind === 'mosquitto') {
      const mosquitto = await startMosquitto();
      if (mosquitto === undefined) return skip(NO_MOSQUITTO);
      url = mosquitto.url;
      running.push({ stop: () => mosquitto.stop() } as unknown as RunningCli);
    } else {
      const broker = start(['broker', '--listen', '127.0.0.1:0'], 'broker');
      url = (await broker.printed(/broker: (mqtt:\S+)/))[1]!;
    }
    const central = start(['central', '--broker', url, '--model', 'scenes', '--nodes', '2'], `${kind}-central`);
    await central.printed(/central is online/);
    const agents = ['pi-1', 'pi-2'].map((id) => start(['agent', '--broker', url, '--id', id], `${kind}-${id}`));
    await Promise.all(agents.map((agent) => agent.printed(/ready for plan/)));

    const { files, labels } = await pictures(6);
    const { code, stdout, stderr } = await runCli(['infer', ...files, '--broker', url, '--json'], { cwd: folder });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(results.map(({ top }) => top?.label)).toEqual(labels);
    expect(results.map(({ status }) => status)).toEqual(labels.map(() => 'ok'));
    expect(new Set(results.flatMap(({ nodes }) => nodes))).toEqual(new Set(['central', 'pi-1', 'pi-2']));
    expect(results[0].macs_on_nodes).toBeGreaterThan(0.5);

    const watch = start(['watch', '--last', '--broker', url, '--json'], 'watch');
    await runCli(['publish', 'door', files[0]!, '--broker', url], { cwd: folder });
    const [line] = await watch.printed(/^\{.*"camera":"door".*$/m);
    expect(JSON.parse(line)).toMatchObject({ camera: 'door', status: 'ok', top: { label: labels[0] } });
  });
});
