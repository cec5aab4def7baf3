import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { drawScene, seedRanges } from '../../shared/camera/scenes/scene.ts';
import type { Attribute } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { Stage } from '../../shared/plan/plan.ts';
import { encodeJpeg } from '../../shared/runtime/image.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import { numbers } from '../support/tiny-network.ts';

/** Lost if this fails: an operator cannot say which plan serves a running cluster, or has to say it after each restart. */

let folder: string;
let url: string;
let picture: string;
const running: RunningCli[] = [];

function start(args: readonly string[], state: string): RunningCli {
  const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, state) } });
  running.push(cli);
  return cli;
}

async function startCentral(): Promise<RunningCli> {
  const central = start(['central', '--broker', url, '--nodes', '2'], 'central');
  await central.printed(/central is online/);
  return central;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-deploy-'));
  const kernel: Record<string, Attribute> = {
    kernel_shape: { kind: 'ints', value: [3, 3] },
    pads: { kind: 'ints', value: [1, 1, 1, 1] },
  };
  const bytes = new Uint8Array(numbers(54, 1).buffer);
  const data = { kind: 'inline', bytes } as const;
  const model = newModel({
    producer: 'tessera-test',
    name: 'conv',
    nodes: [newNode('Conv', ['x', 'w'], ['y'], kernel)],
    initializers: new Map([['w', { name: 'w', dtype: 'float32', elementType: 1, dims: [2, 3, 3, 3], data }]]),
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, 16, 16] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, 2, 16, 16] })],
  });
  await mkdir(join(folder, 'models', 'conv'), { recursive: true });
  await writeFile(join(folder, 'models', 'conv', 'model.onnx'), writeModel(model));
  await writeFile(join(folder, 'models', 'conv', 'model.yaml'), 'name: conv\ntask: raw\n');
  const { rgb, width, height } = drawScene(seedRanges.heldOut.from);
  picture = join(folder, 'picture.jpg');
  await writeFile(picture, await encodeJpeg(rgb, width, height, 90));
  const [, found] = await start(['broker', '--listen', '127.0.0.1:0'], 'broker').printed(/broker: (mqtt:\S+)/);
  url = found!;
});
afterAll(async () => {
  for (const one of running.toReversed()) await one.stop();
  await rm(folder, { recursive: true });
});

const deploy = (...args: string[]) => runCli(['deploy', ...args, '--broker', url, '--json'], { cwd: folder });

async function tiles(): Promise<Record<string, number>> {
  const { stdout } = await runCli(['infer', picture, '--broker', url, '--model', 'conv', '--json'], { cwd: folder });
  return JSON.parse(stdout).tiles_per_node;
}

async function planFile(name: string, model: string, stage: Partial<Stage>): Promise<string> {
  const whole = { id: 0, inputs: ['x'], outputs: ['y'], split: { kind: 'whole' }, fallback: 'none', codec: {} };
  const plan = {
    format: 'tessera-plan/1',
    id: 'p-000001',
    model,
    source: 'central',
    strategy: 'by hand',
    reason: 'by hand',
    stages: [{ ...whole, ...stage }],
    predicted: null,
  };
  const file = join(folder, name);
  await writeFile(file, JSON.stringify(plan));
  return file;
}

/** A profile of the network on one node and central. */
function profileOf(sha256: string): object {
  const layer = { name: 'conv', op: 'Conv', macs: 1, inputs: ['x'], outputs: [{ name: 'y', bytes: 2048 }] };
  const link = { rtt_ms: 1, mbps: 100 };
  return {
    format: 'tessera-profile/1',
    model: 'conv',
    sha256,
    input_bytes: 3072,
    source: 'central',
    sink: 'central',
    blocks: [{ name: 'y', output_bytes: 2048, cut: ['y'], layers: [0, 0] }],
    layers: [layer],
    nodes: [
      { id: 'pi-1', tier: 'edge', block_ms: [1] },
      { id: 'central', tier: 'edge', block_ms: [50] },
    ],
    links: [
      { from: 'pi-1', to: 'central', ...link },
      { from: 'central', to: 'pi-1', ...link },
    ],
  };
}

test('an operator puts plans to work by file, goes back, and finds the plan again after a restart of central', async () => {
  const central = await startCentral();
  const agents = ['pi-1', 'pi-2'].map((id) => start(['agent', '--broker', url, '--id', id], id));
  for (const agent of agents) await agent.printed(/ready for plan/);

  // A plan for another network is refused; the hint names the network that central serves.
  const unknown = await deploy(
    await planFile('unknown.json', '0'.repeat(64), { on: { mode: 'share', nodes: ['pi-2'] } }),
  );
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringMatching(/serves no model with the network 000/)]);
  const sha = /conv \(([0-9a-f]{64})\)/.exec(unknown.stderr)![1]!;

  const two = await deploy(await planFile('two.json', sha, { on: { mode: 'share', nodes: ['pi-2'] } }));
  expect(JSON.parse(two.stdout)).toMatchObject({ model: 'conv', reason: 'by hand', ready: ['pi-2'], refused: [] });
  expect(await tiles()).toEqual({ 'pi-2': 1 });

  const pinned = { mode: 'share', nodes: '*', parts: ['pi-2', 'pi-1'] } as const;
  const split = { kind: 'tiles', padding: 'halo', rows: [8, 8], cols: [16] } as const;
  const both = await deploy(await planFile('both.json', sha, { on: pinned, split }));
  expect(both.stderr).toBe('');
  expect(JSON.parse(both.stdout).ready.toSorted()).toEqual(['pi-1', 'pi-2']);
  expect(await tiles()).toEqual({ 'pi-1': 1, 'pi-2': 1 });

  expect(JSON.parse((await deploy('--previous')).stdout).plan).toBe(JSON.parse(two.stdout).plan);
  await central.stop();
  await startCentral();
  await agents[1]!.printed(/ready for plan[\s\S]*ready for plan[\s\S]*ready for plan[\s\S]*ready for plan/);
  expect(await tiles()).toEqual({ 'pi-2': 1 });

  // The best plan of a profile, at once.
  await writeFile(join(folder, 'conv.profile.json'), JSON.stringify(profileOf(sha)));
  const args = ['--profile', 'conv.profile.json', '--use', 'pi-1', '--deploy', '--broker', url, '--json'];
  const planned = await runCli(['plan', ...args], { cwd: folder });
  expect(planned.stderr).toBe('');
  expect(JSON.parse(planned.stdout).deployed).toMatchObject({ model: 'conv', ready: ['pi-1'], refused: [] });
  expect(await tiles()).toEqual({ 'pi-1': 1 });

  const neither = await deploy();
  expect([neither.code, neither.stderr]).toEqual([2, expect.stringMatching(/either a plan file or --previous/)]);
}, 120_000);
