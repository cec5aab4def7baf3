import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import type { Attribute } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import { numbers } from '../support/tiny-network.ts';

/** With two models every user gets the results of the requested one. */

const SIDE = 16;
const BYTES = { aaa: 2 * SIDE * SIDE * 4, bbb: 5 * SIDE * SIDE * 4 };

/** x [1, 3, 16, 16] -> one convolution -> y [1, `channels`, 16, 16], as a file. */
function oneConvolution(channels: number): Uint8Array {
  const kernel: Record<string, Attribute> = {
    kernel_shape: { kind: 'ints', value: [3, 3] },
    pads: { kind: 'ints', value: [1, 1, 1, 1] },
  };
  const dims = [channels, 3, 3, 3];
  const bytes = new Uint8Array(numbers(channels * 27, channels).buffer);
  const weights = { name: 'w', dtype: 'float32', elementType: 1, dims, data: { kind: 'inline', bytes } } as const;
  const model = newModel({
    producer: 'tessera-test',
    name: 'one',
    nodes: [newNode('Conv', ['x', 'w'], ['y'], kernel)],
    initializers: new Map([['w', weights]]),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, channels, SIDE, SIDE] })],
  });
  return writeModel(model);
}

let folder: string;
let url: string;
let picture: string;
const running: RunningCli[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-two-models-'));
  for (const [name, channels] of [
    ['aaa', 2],
    ['bbb', 5],
  ] as const) {
    await mkdir(join(folder, 'models', name), { recursive: true });
    await writeFile(join(folder, 'models', name, 'model.onnx'), oneConvolution(channels));
    await writeFile(join(folder, 'models', name, 'model.yaml'), `name: ${name}\ntask: raw\n`);
  }
  const { rgb, width, height } = drawScene(seedRanges.heldOut.from);
  picture = join(folder, 'picture.jpg');
  await writeFile(picture, await encodeJpeg(rgb, width, height, 90));
  const start = (args: readonly string[], state: string) => {
    const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, state) } });
    running.push(cli);
    return cli;
  };
  const [, found] = await start(['broker', '--listen', '127.0.0.1:0'], 'broker').printed(/broker: (mqtt:\S+)/);
  url = found!;
  await start(['central', '--broker', url, '--nodes', '1'], 'central').printed(/central is online/);
  const agent = start(['agent', '--broker', url, '--id', 'pi-1'], 'agent');
  await agent.printed(/ready for plan.*[\s\S]*ready for plan/);
});
afterAll(async () => {
  for (const one of running.toReversed()) await one.stop();
  await rm(folder, { recursive: true });
});

const infer = (model: 'aaa' | 'bbb', dump: string) =>
  runCli(['infer', picture, '--broker', url, '--model', model, '--dump', dump, '--json'], { cwd: folder });

describe('with two models at one cluster', () => {
  test('infer --dump writes the output of its own model, however many run at once', async () => {
    for (let round = 0; round < 3; round++) {
      const asked = (['aaa', 'bbb', 'aaa', 'bbb'] as const).map(async (model, i) => {
        const dump = join(folder, `${i}.bin`);
        const { code, stdout } = await infer(model, dump);
        return { code, model: JSON.parse(stdout).model, bytes: (await readFile(dump)).byteLength, expected: model };
      });
      for (const { expected, ...found } of await Promise.all(asked))
        expect(found).toEqual({ code: 0, model: expected, bytes: BYTES[expected] });
    }
  });

  test('publish --wait --model prints the results of that model only, of every file with the same name too', async () => {
    const twin = join(folder, 'twin', 'picture.jpg');
    await mkdir(join(folder, 'twin'));
    await writeFile(twin, await readFile(picture));
    const args = ['publish', 'front', picture, twin, '--wait', '--model', 'bbb', '--broker', url, '--json'];
    const { code, stdout } = await runCli(args, { cwd: folder });
    const results = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(code).toBe(0);
    expect(results.map(({ model }) => model)).toEqual(['bbb', 'bbb']);
    expect(new Set(results.map(({ frame }) => frame)).size).toBe(2);
  });

  test('publish --model without --wait is refused, since it would have no effect', async () => {
    const { code, stderr } = await runCli(['publish', 'front', picture, '--model', 'bbb', '--broker', url]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/TESSERA_USAGE: --model .*\nhint: add --wait/)]);
  });

  test('infer reports at once that no central is online, although its models are still retained at the broker', async () => {
    await running[1]!.stop();
    const { code, stderr } = await infer('aaa', join(folder, 'none.bin'));
    expect([code, stderr]).toEqual([1, expect.stringMatching(/no central is online.*\nhint: start one with/)]);
  });
});
