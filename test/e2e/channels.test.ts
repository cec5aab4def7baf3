import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { FrameClient } from '../../cli/frames.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { constantTensor } from '../../shared/onnx/values.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { Plan, Stage } from '../../shared/plan/plan.ts';
import { silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { difference } from '../../shared/tensor/compare.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import { numbers } from '../support/tiny-network.ts';

/**
 * Lost if this fails: dense layers that no single small node has memory for. A network in the form of a VGG runs its
 * convolutions in tiles, its first dense layer in slices on three machines, and the rest on central; each process has its
 * own state folder.
 */

const SIDE = 32;
const FEATURES = 8 * 8 * 32;
const HIDDEN = 96;

/** x [1, 3, 32, 32] -> two convolutions with pooling -> p [1, 32, 8, 8] -> Flatten -> Gemm, Relu `h` -> Gemm y [1, 10]. */
function vggLike(): Model {
  const weight = (name: string, ...dims: number[]) => {
    const count = dims.reduce((all, size) => all * size, 1);
    return constantTensor(name, 'float32', dims, [...numbers(count, name.length + count)]);
  };
  const ints = (...value: number[]) => ({ kind: 'ints', value }) as const;
  const conv = { kernel_shape: ints(3, 3), pads: ints(1, 1, 1, 1) };
  const pool = { kernel_shape: ints(2, 2), strides: ints(2, 2) };
  const transB = { kind: 'int', value: 1 } as const;
  const weights = [
    weight('w1', 16, 3, 3, 3),
    weight('w2', 32, 16, 3, 3),
    weight('w3', HIDDEN, FEATURES),
    weight('b3', HIDDEN),
    weight('w4', 10, HIDDEN),
  ];
  return newModel({
    producer: 'tessera-test',
    name: 'vgg-like',
    nodes: [
      newNode('Conv', ['x', 'w1'], ['c1'], conv),
      newNode('Relu', ['c1'], ['r1']),
      newNode('MaxPool', ['r1'], ['p1'], pool),
      newNode('Conv', ['p1', 'w2'], ['c2'], conv),
      newNode('Relu', ['c2'], ['r2']),
      newNode('MaxPool', ['r2'], ['p'], pool),
      newNode('Flatten', ['p'], ['f']),
      newNode('Gemm', ['f', 'w3', 'b3'], ['g'], { transB }),
      newNode('Relu', ['g'], ['h']),
      newNode('Gemm', ['h', 'w4'], ['y'], { transB }),
    ],
    initializers: new Map(weights.map((each) => [each.name, each])),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, 10] })],
  });
}

/** The plan before the deployed one leaves the dense layers to central, so that no node has their weights from it. */
const CARD = 'name: vgg\ntask: raw\ntiles: [{ after: p, grid: [2, 2], padding: halo }]\n';

/** A frame, and what the network reads of it: [1, 3, rows, columns] from 0 to 1. */
const frame = Uint8Array.from(numbers(SIDE * SIDE * 3, 5), (value) => Math.floor((value + 0.5) * 256));
const values = Float32Array.from(
  { length: frame.length },
  (_, i) => frame[(i % SIDE ** 2) * 3 + Math.floor(i / SIDE ** 2)]! / 255,
);
const input: Tensor = { dtype: 'float32', shape: [1, 3, SIDE, SIDE], data: new Uint8Array(values.buffer) };

const NODES = ['pi-1', 'pi-2', 'pi-3'];
const SIZES = [48, 32, 16];

/** Tiles, slices of the first dense layer, the rest. */
function planOf(model: string, nodes = NODES, sizes = SIZES): Plan {
  const common = { fallback: 'none', codec: {} } as const;
  const stages: Stage[] = [
    {
      id: 0,
      inputs: ['tessera_frame'],
      outputs: ['p'],
      split: { kind: 'tiles', padding: 'halo', rows: [4, 4], cols: [8] },
      on: { mode: 'share', nodes: '*' },
      ...common,
    },
    {
      id: 1,
      inputs: ['p'],
      outputs: ['h'],
      split: { kind: 'channels', sizes },
      on: { mode: 'share', nodes, parts: nodes },
      ...common,
    },
    {
      id: 2,
      inputs: ['h'],
      outputs: ['y'],
      split: { kind: 'whole' },
      on: { mode: 'share', nodes: ['central'] },
      ...common,
    },
  ];
  const of = { model, source: 'central', strategy: 'by hand', reason: 'tiles, slices, rest' };
  return { format: 'tessera-plan/1', id: 'p-0000c1', ...of, stages, predicted: null };
}

let folder: string;
let whole: Tensor;
const running: { stop(): Promise<unknown> }[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-channels-'));
  await mkdir(join(folder, 'models', 'vgg'), { recursive: true });
  const bytes = writeModel(vggLike());
  await writeFile(join(folder, 'models', 'vgg', 'model.onnx'), bytes);
  await writeFile(join(folder, 'models', 'vgg', 'model.yaml'), CARD);
  const session = await loadSession(bytes, { threads: 1 });
  whole = (await session.run(new Map([['x', input]]))).get('y')!;
  await session.release();
});
afterEach(async () => {
  for (const one of running.splice(0).toReversed()) await one.stop();
});
afterAll(() => rm(folder, { recursive: true }));

function start(args: readonly string[], state: string): RunningCli {
  const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, state) } });
  running.push(cli);
  return cli;
}

/** Sizes of the blobs that a node has on its disk. */
async function blobsOf(state: string): Promise<number[]> {
  const blobs = join(folder, state, 'blobs');
  const sizes = await Promise.all((await readdir(blobs)).map(async (name) => (await stat(join(blobs, name))).size));
  return sizes.sort((a, b) => a - b);
}

async function deploy(url: string, plan: Plan) {
  const file = join(folder, 'plan.json');
  await writeFile(file, JSON.stringify(plan));
  return runCli(['deploy', file, '--broker', url, '--json'], { cwd: folder });
}

describe.each(['embedded', 'mosquitto'] as const)(
  'tiles, then channels, then the rest on central: %s broker',
  (kind) => {
    test('equals the whole network, and each node has its own slice of the weights on its disk', async ({ skip }) => {
      let url: string;
      if (kind === 'mosquitto') {
        const mosquitto = await startMosquitto();
        if (mosquitto === undefined) return skip(NO_MOSQUITTO);
        url = mosquitto.url;
        running.push(mosquitto);
      } else url = (await start(['broker', '--listen', '127.0.0.1:0'], 'broker').printed(/broker: (mqtt:\S+)/))[1]!;
      const central = ['central', '--broker', url, '--model', 'vgg', '--nodes', '3'];
      await start(central, `${kind}-central`).printed(/central is online/);
      for (const id of NODES) await start(['agent', '--broker', url, '--id', id], `${kind}-${id}`).printed(/is online/);

      const { stderr } = await deploy(url, planOf('0'.repeat(64)));
      const sha = /vgg \(([0-9a-f]{64})\)/.exec(stderr)![1]!;
      const deployed = await deploy(url, planOf(sha));
      expect(JSON.parse(deployed.stdout)).toMatchObject({ model: 'vgg', refused: [] });
      expect(JSON.parse(deployed.stdout).ready.toSorted()).toEqual(NODES);

      const bus = await connectBus({ url, clientId: 'camera', log: silentLog });
      running.push(bus);
      const camera = new FrameClient(bus, topics('tessera'), 'front');
      await camera.start();
      const envelope = { v: 1 as const, format: 'rgb' as const, shape: [SIDE, SIDE, 3], d: frame, tensors: true };
      const { result, tensors } = await camera.send('f-1', envelope, 60_000, 'vgg');
      expect(result.error).toBeUndefined();
      expect(result.error).toBeUndefined();
      expect(result).toMatchObject({ status: 'ok', approximate: false });
      expect(result.nodes!.toSorted()).toEqual(['central', ...NODES]);
      const { d, ...spec } = tensors!.outputs[0]!;
      expect(difference(whole, { dtype: spec.dtype, shape: spec.shape, data: d }).largest).toBeLessThanOrEqual(1e-4);

      for (const [i, id] of NODES.entries()) {
        const [, ...weights] = await blobsOf(`${kind}-${id}`);
        // The skeleton is the smallest; then the weights of the tiles, and the slice of the dense layer.
        expect(weights).toEqual([16 * 27 * 4, 32 * 16 * 9 * 4, SIZES[i]! * FEATURES * 4]);
      }
    }, 120_000);
  },
);

test('infer runs it from a file in a private cluster, and verify compares it with the whole network', async () => {
  const [file, photo, report] = ['own.json', 'photo.jpg', 'report.json'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const size = { width: SIDE, height: SIDE };
  await writeFile(photo, await encodeJpeg(frame, size.width, size.height, 95));
  const of = ['--model', 'vgg', '--nodes', '2', '--plan', file];
  const nodes = ['node-1', 'node-2'];
  await writeFile(file, JSON.stringify(planOf('0'.repeat(64), nodes, [64, 32])));
  const refused = await runCli(['infer', photo, ...of], { cwd: folder });
  expect(refused.stderr).toContain('error TESSERA_PLAN_INVALID');
  const sha = /this one's is ([0-9a-f]{64})/.exec(refused.stderr)![1]!;

  await writeFile(file, JSON.stringify(planOf(sha, nodes, [64, 16])));
  const short = await runCli(['infer', photo, ...of], { cwd: folder });
  expect([short.code, short.stderr]).toEqual([
    1,
    expect.stringMatching(/"h", which has 96 channels[\s\S]*add up to 96/),
  ]);

  await writeFile(file, JSON.stringify(planOf(sha, nodes, [64, 32])));
  const { code, stdout } = await runCli(['infer', photo, ...of, '--json'], { cwd: folder });
  expect(code).toBe(0);
  const { status, tiles_per_node } = JSON.parse(stdout);
  expect([status, tiles_per_node.central]).toEqual(['ok', 1]);
  expect(tiles_per_node['node-1'] + tiles_per_node['node-2']).toBe(4);

  const verified = await runCli(['verify', ...of, '--images', folder, '--report', report, '--json'], { cwd: folder });
  expect([verified.code, verified.stderr]).toEqual([0, expect.any(String)]);
  const proof = JSON.parse(verified.stdout);
  expect(proof).toMatchObject({ plan: 'p-0000c1', reason: 'tiles, slices, rest', pictures: 1, pass: true });
  expect(proof.outputs[0].largest).toBeLessThanOrEqual(1e-4);

  const both = await runCli(['verify', ...of, '--grid', '2x2'], { cwd: folder });
  expect([both.code, both.stderr]).toEqual([2, expect.stringContaining('a plan says itself how the network is cut')]);
}, 120_000);
