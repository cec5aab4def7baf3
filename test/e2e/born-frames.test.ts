import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import type { Attribute, Initializer } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { Stage } from '../../shared/plan/plan.ts';
import type { Bus, Message } from '../../shared/ports.ts';
import { silentLog } from '../../shared/ports.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import { numbers } from '../support/tiny-network.ts';

/** Lost if these fail: pixels leave their machine although nobody needs them elsewhere, or frames of a node get no result. */

const names = topics();
/** Large enough that a frame takes longer than the time between two of them. */
const [SIDE, WIDTH] = [192, 48];
const BROKERS = ['embedded', 'mosquitto'] as const;

let folder: string;
let jpeg: Uint8Array;
/** What one machine makes of the picture. */
let whole: ResultObject['top'];
let url: string;
let bus: Bus;
let published: Message[];
let running: { stop(): Promise<unknown> }[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-born-'));
  const kernel: Record<string, Attribute> = {
    kernel_shape: { kind: 'ints', value: [3, 3] },
    pads: { kind: 'ints', value: [1, 1, 1, 1] },
  };
  const weights = (name: string, channels: number): Initializer => {
    const dims = [WIDTH, channels, 3, 3];
    const data = { kind: 'inline', bytes: new Uint8Array(numbers(WIDTH * channels * 9, channels).buffer) } as const;
    return { name, dtype: 'float32', elementType: 1, dims, data };
  };
  const model = newModel({
    producer: 'tessera-test',
    name: 'net',
    nodes: [
      newNode('Conv', ['x', 'v'], ['a'], kernel),
      newNode('Conv', ['a', 'w'], ['b'], kernel),
      newNode('Conv', ['b', 'w'], ['c'], kernel),
      newNode('GlobalAveragePool', ['c'], ['d']),
      newNode('Flatten', ['d'], ['y']),
    ],
    initializers: new Map([
      ['v', weights('v', 3)],
      ['w', weights('w', WIDTH)],
    ]),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, WIDTH] })],
  });
  for (const name of ['models/net', 'frames']) await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, 'models/net/model.onnx'), writeModel(model));
  await writeFile(join(folder, 'models/net/model.yaml'), 'name: net\ntask: classify\noutput: {decoder: logits}\n');
  const { rgb, width, height } = drawScene(seedRanges.heldOut.from);
  jpeg = await encodeJpeg(rgb, width, height, 90);
  await writeFile(join(folder, 'frames/scene.jpg'), jpeg);
  const { stdout } = await runCli(['infer', 'frames', '--model', 'models/net', '--nodes', '1', '--json'], {
    cwd: folder,
  });
  ({ top: whole } = resultObject.parse(JSON.parse(stdout)));
});
beforeEach(() => {
  running = [];
});
afterEach(async () => {
  for (const one of running.toReversed()) await one.stop();
});
afterAll(() => rm(folder, { recursive: true }));

function start(args: readonly string[], state: string): RunningCli {
  const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, state) } });
  running.push(cli);
  return cli;
}

/** A broker, central, and a client that keeps everything that is published; undefined where there is no such broker. */
async function cluster(kind: (typeof BROKERS)[number]): Promise<RunningCli | undefined> {
  if (kind === 'mosquitto') {
    const mosquitto = await startMosquitto();
    if (mosquitto === undefined) return undefined;
    running.push(mosquitto);
    url = mosquitto.url;
  } else {
    const broker = start(['broker', '--listen', '127.0.0.1:0'], `broker-${running.length}`);
    url = (await broker.printed(/broker: (mqtt:\S+)/))[1]!;
  }
  bus = await connectBus({ url, clientId: 'listener', log: silentLog });
  running.push(bus);
  published = [];
  const state = await mkdtemp(join(folder, 'central-'));
  await bus.subscribe('#', 1, (message) => void published.push({ ...message, payload: message.payload.slice() }));
  const central = new RunningCli(['central', '--broker', url, '--nodes', '2'], {
    cwd: folder,
    env: { STATE_DIRECTORY: state },
  });
  running.push(central);
  await central.printed(/central is online/);
  return central;
}

function agent(id: string, ...args: string[]): RunningCli {
  return start(['agent', '--broker', url, '--id', id, ...args], `${id}-${url.split(':').at(-1)}`);
}

/** Has the network run so; resolves once it does. */
async function deploy(stages: readonly (Pick<Stage, 'on'> & Partial<Stage>)[], source = 'central'): Promise<void> {
  const plan = { format: 'tessera-plan/1', id: 'p-000001', source, strategy: 'by hand', reason: 'by hand' };
  const one = { inputs: ['x'], outputs: ['y'], split: { kind: 'whole' }, fallback: 'none', codec: {} };
  const file = join(folder, 'plan.json');
  const write = (model: string) => {
    const all = stages.map((stage, id) => ({ id, ...one, ...stage }));
    return writeFile(file, JSON.stringify({ ...plan, model, stages: all, predicted: null }));
  };
  await write('0'.repeat(64));
  const { stderr } = await runCli(['deploy', file, '--broker', url], { cwd: folder });
  await write(/net \(([0-9a-f]{64})\)/.exec(stderr)![1]!);
  const { code, stderr: said } = await runCli(['deploy', file, '--broker', url], { cwd: folder });
  expect([code, said]).toEqual([0, expect.stringContaining('serves new frames')]);
}

const results = (camera = 'front'): ResultObject[] =>
  published
    .filter(({ topic }) => topic === names.result(camera, 'net'))
    .map(({ payload }) => resultObject.parse(JSON.parse(Buffer.from(payload).toString())));

/** Resolves with the results of a camera that come from now on, once there are so many. */
async function nextResults(count: number, camera = 'front'): Promise<ResultObject[]> {
  const before = results(camera).length;
  await expect
    .poll(() => results(camera).length - before, { timeout: 30_000, interval: 20 })
    .toBeGreaterThanOrEqual(count);
  return results(camera).slice(before);
}

/** A result is what one machine makes of the picture. */
function expectWhole({ top }: ResultObject): void {
  expect(top?.label).toBe(whole!.label);
  expect(top?.score).toBeCloseTo(whole!.score, 4);
}

/** Whether anything that was published has part of the picture in it. */
const hasPixels = (): boolean =>
  published.some(({ payload }) => Buffer.from(payload).includes(Buffer.from(jpeg.subarray(200, 264))));

describe.each(BROKERS)('frames that are born at a node, on the %s broker', (kind) => {
  test('stay there where the plan has them computed there: no pixel is published', async ({ skip }) => {
    if ((await cluster(kind)) === undefined) return skip(NO_MOSQUITTO);
    const other = agent('pi-2');
    const node = agent('pi-1', '--camera', 'front=frames', '--fps', '40');
    await Promise.all([other, node].map((one) => one.printed(/ready for plan/)));
    // Before the plan is known, central may have taken pictures.
    await deploy([{ on: { mode: 'replicate', nodes: '*' } }]);
    await nextResults(3);
    published = [];
    const some = await nextResults(5);
    for (const result of some) {
      expect(result).toMatchObject({ status: 'ok', nodes: ['pi-1'], width: 640, height: 480 });
      expectWhole(result);
    }
    expect(published.some(({ topic }) => topic === names.wire('central', 'result', 'pi-1'))).toBe(true);
    expect(hasPixels()).toBe(false);
    // Neither as the camera wrote it, nor decoded: nothing that was published is as large as either.
    expect(Math.max(...published.map(({ payload }) => payload.byteLength))).toBeLessThan(5000);
    expect(Math.min(jpeg.byteLength, 3 * SIDE * SIDE)).toBeGreaterThan(20_000);

    node.child.kill('SIGKILL');
    const lost = (): ResultObject[] => results().filter(({ status }) => status === 'error');
    await expect.poll(() => lost().length, { timeout: 20_000, interval: 20 }).toBeGreaterThan(0);
    for (const { error } of lost()) expect(error?.code).toBe('TESSERA_SOURCE_LOST');
  }, 90_000);

  test('of a topic that the plan has nodes read themselves come from central without pixels', async ({ skip }) => {
    if ((await cluster(kind)) === undefined) return skip(NO_MOSQUITTO);
    await Promise.all(['pi-1', 'pi-2'].map((id) => agent(id).printed(/ready for plan/)));
    const tiles = { kind: 'tiles', padding: 'halo', rows: [SIDE / 2, SIDE / 2], cols: [SIDE] } as const;
    const shared = { mode: 'share', nodes: '*', parts: ['pi-1', 'pi-2'] } as const;
    const stages = [
      { inputs: ['x'], outputs: ['c'], split: tiles, on: shared },
      { inputs: ['c'], outputs: ['y'], on: { mode: 'share', nodes: ['central'] } },
    ] as const;
    await deploy(stages, 'topic');
    const send = (...args: string[]) =>
      runCli(['publish', 'door', join(folder, 'frames'), '--wait', '--broker', url, ...args]);
    const largest = (): number => {
      const work = ['pi-1', 'pi-2'].map((id) => names.wire(id, 'work', 'central'));
      return Math.max(
        ...published.filter(({ topic }) => work.includes(topic)).map(({ payload }) => payload.byteLength),
      );
    };
    // Nodes read a camera's topic from its first frame on, which therefore comes from central.
    expect((await send()).code).toBe(0);
    expect(largest()).toBeGreaterThan(20_000);
    published = [];
    expect((await send()).code).toBe(0);
    expect(largest()).toBeLessThan(2000);
    expect(results('door')).toMatchObject([{ status: 'ok', tiles_per_node: { 'pi-1': 1, 'pi-2': 1, central: 1 } }]);
    expectWhole(results('door')[0]!);
  }, 90_000);

  test('go to the node that the plan names, by way of central, and each has one result', async ({ skip }) => {
    if ((await cluster(kind)) === undefined) return skip(NO_MOSQUITTO);
    const other = agent('pi-2');
    await other.printed(/ready for plan/);
    await deploy([{ on: { mode: 'share', nodes: ['pi-2'] } }]);
    agent('pi-1', '--camera', 'front=frames', '--fps', '40');
    const [first] = await nextResults(5);
    expect(first).toMatchObject({ status: 'ok', camera: 'front', nodes: ['pi-2'], width: 640, height: 480 });
    expectWhole(first!);
    expect(hasPixels()).toBe(true);
    const frames = results().map(({ frame }) => frame);
    expect(new Set(frames).size).toBe(frames.length);
    expect(frames[0]).toMatch(/^scene\.jpg-[0-9a-f]{8}-\d+$/);
  }, 90_000);
});

test('a named pipe of JPEGs is a camera of an agent, also when its writer comes late or again', async () => {
  await cluster('embedded');
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  const node = agent('pi-1', '--camera', 'door=pipe');
  await node.printed(/ready for plan/);
  for (const count of [1, 2]) {
    const writer = await open(join(folder, 'pipe'), 'w');
    await writer.write(jpeg);
    await writer.close();
    await expect.poll(() => results('door').length, { timeout: 20_000, interval: 20 }).toBe(count);
  }
  expect(results('door').map(({ status }) => status)).toEqual(['ok', 'ok']);
}, 60_000);
