import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { type CentralModels, centralModels } from '../../shared/protocol/messages/central.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { tinyNetwork } from '../support/tiny-network.ts';

/** One model that cannot be served does not affect the others, and its reason is published. */

const names = topics('tessera');
const tiny = writeModel(tinyNetwork());
const tooNew = writeModel({ ...tinyNetwork(), opsets: new Map([['', 99]]) });
let cwd: string;
let broker: RunningCli;
let url: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tessera-bad-model-'));
  broker = new RunningCli(['broker', '--listen', '127.0.0.1:0'], {
    cwd,
    env: { STATE_DIRECTORY: join(cwd, 'broker') },
  });
  url = (await broker.printed(/broker: (mqtt:\S+)/))[1]!;
});
afterAll(async () => {
  await broker.stop();
  await rm(cwd, { recursive: true });
});

async function library(
  name: string,
  models: Readonly<Record<string, { card?: string; network?: Uint8Array }>>,
): Promise<string> {
  for (const [model, { card, network }] of Object.entries(models)) {
    const folder = join(cwd, name, model);
    await mkdir(folder, { recursive: true });
    if (card !== undefined) await writeFile(join(folder, 'model.yaml'), `name: ${model}\ntask: raw\n${card}`);
    if (network !== undefined) await writeFile(join(folder, 'model.onnx'), network);
  }
  return join(cwd, name);
}

const central = (dir: string, state: string) =>
  new RunningCli(['central', '--broker', url, '--nodes', '1'], {
    cwd,
    env: { STATE_DIRECTORY: join(cwd, state), TESSERA_MODELS__DIR: dir },
  });

describe('tessera central', () => {
  test('serves the valid ones, and reports the others on a topic, in its log and in the doctor', async () => {
    const dir = await library('mixed', {
      good: { card: '', network: tiny },
      'too-new': { card: '', network: tooNew },
      nosy: { card: 'labels: ../../broker/password\n', network: tiny },
      'no-network': { card: '' },
      'wrong-card': { card: 'colour: blue\n', network: tiny },
    });
    const bus: Bus = await connectBus({ url, clientId: 'test', log: silentLog });
    let said: CentralModels['models'] = {};
    const results: ResultObject[] = [];
    await bus.subscribe(names.centralModels('central'), 1, ({ payload }) => {
      said = centralModels.parse(JSON.parse(Buffer.from(payload).toString())).models;
    });
    await bus.subscribe(names.resultAll, 1, ({ payload }) => results.push(JSON.parse(Buffer.from(payload).toString())));
    const running = central(dir, 'mixed-state');
    try {
      await running.printed(/central is online/);
      await expect.poll(() => said.good?.state, { timeout: 20_000 }).toBe('served');
      expect(said).toMatchObject({
        'too-new': {
          state: 'refused',
          error: { code: 'TESSERA_MODEL_UNSUPPORTED', hint: expect.stringMatching(/opset_version/) },
        },
        nosy: { state: 'refused', error: { message: expect.stringMatching(/lies outside of/) } },
        'no-network': { state: 'refused', error: { message: expect.stringMatching(/there is no file/) } },
        'wrong-card': { state: 'refused', error: { message: expect.stringMatching(/unknown key "colour"/) } },
      });
      const jpeg = await encodeJpeg(new Uint8Array(16 * 16 * 3).fill(90), 16, 16, 90);
      await bus.publish(names.input('front', 'f-1'), jpeg, { qos: 1 });
      await expect.poll(() => results.length, { timeout: 20_000 }).toBeGreaterThan(0);
      expect(results).toMatchObject([{ model: 'good', frame: 'f-1', status: 'ok' }]);

      const { stdout } = await runCli(['doctor', '--broker', url, '--json'], { cwd });
      expect(stdout).toMatch(/model too-new.*central does not serve it: .*operator sets up to/);
      const asked = await runCli(['infer', 'none.jpg', '--broker', url, '--model', 'too-new'], { cwd });
      expect(asked.stderr).toMatch(/TESSERA_MODEL_UNSUPPORTED: central does not serve it: .*operator sets up to/);
    } finally {
      const { stderr } = await running.stop();
      await bus.stop();
      expect(stderr.match(/model too-new is not served/g)).toHaveLength(1);
      expect(stderr).not.toMatch(/std::|TESSERA_INTERNAL/);
    }
  });

  test('ends where none can be served, with the reason', async () => {
    const dir = await library('bad', { a: { card: '', network: tooNew }, b: { card: '' } });
    const { code, stderr } = await new RunningCli(
      ['central', '--broker', url, '--model', join(dir, 'a'), '--model', join(dir, 'b')],
      { cwd, env: { STATE_DIRECTORY: join(cwd, 'bad-state') } },
    ).ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(/none of the 2 models can be served/);
    expect(stderr).toMatch(/model a is not served: .*operator sets up to/);
  });
});

test.each(['infer x.jpg --model', 'verify --model', 'up --camera none --model'])(
  'tessera %s refuses it at once',
  async (words) => {
    const dir = await library('alone', { a: { card: '', network: tooNew } });
    const file = join(cwd, 'x.jpg');
    await writeFile(file, await encodeJpeg(new Uint8Array(16 * 16 * 3), 16, 16, 80));
    const { code, stderr } = await runCli([...words.split(' '), join(dir, 'a')], {
      cwd,
      env: { STATE_DIRECTORY: join(cwd, 'alone-state') },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /TESSERA_MODEL_UNSUPPORTED: .*operator sets up to \d+.*\nhint: export it with opset_version=/,
    );
    expect(stderr).not.toMatch(/std::|\.cc:\d/);
  },
);
