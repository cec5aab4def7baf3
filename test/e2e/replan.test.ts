import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Deployment, eventually, kill, pictures, type TestBroker } from '../../bench/testbed/deployment.ts';
import { Relay } from '../../bench/testbed/relay.ts';
import type { RunningCli } from '../../bench/testbed/run-cli.ts';
import type { FrameClient } from '../../cli/frames.ts';
import type { Attribute, Initializer } from '../../shared/onnx/model.ts';
import { newModel } from '../../shared/onnx/new-model.ts';
import { valueInfo } from '../../shared/onnx/value-info-proto.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { type PlanRanking, type PlanStatus, planRanking, planStatus } from '../../shared/protocol/messages/central.ts';
import { newNode } from '../../shared/tiling/tile-model-builder.ts';
import { numbers } from '../support/tiny-network.ts';

/**
 * Lost if this fails: a cluster keeps a plan that has become bad, loses frames when its plan is replaced, changes plans to
 * and fro, or gives a wrong reason. Machines are emulated: their executors take several times as long as this machine.
 */

const HOLD_S = 3;
const SIDE = 320;
const CHANNELS = 8;
const POOL = 8;
const LAYERS = 8;
/** How many times slower central is than this machine. */
const FACTOR = 18;

/** A network whose frames are large and whose answers are small. */
function network(): Uint8Array {
  const kernel: Record<string, Attribute> = {
    kernel_shape: { kind: 'ints', value: [3, 3] },
    pads: { kind: 'ints', value: [1, 1, 1, 1] },
  };
  const initializers = new Map<string, Initializer>();
  const nodes = Array.from({ length: LAYERS }, (_, layer) => {
    const dims = [CHANNELS, layer === 0 ? 3 : CHANNELS, 3, 3];
    const bytes = new Uint8Array(
      numbers(
        dims.reduce((a, b) => a * b),
        layer + 1,
      ).buffer,
    );
    const name = `w${layer}`;
    initializers.set(name, { name, dtype: 'float32', elementType: 1, dims, data: { kind: 'inline', bytes } });
    return newNode('Conv', [layer === 0 ? 'x' : `t${layer}`, name], [`t${layer + 1}`], kernel);
  });
  const model = newModel({
    producer: 'tessera-test',
    name: 'net',
    nodes: [
      ...nodes,
      newNode('MaxPool', [`t${LAYERS}`], ['pooled'], {
        kernel_shape: { kind: 'ints', value: [POOL, POOL] },
        strides: { kind: 'ints', value: [POOL, POOL] },
      }),
      newNode('GlobalAveragePool', ['pooled'], ['y'], {}),
    ],
    initializers,
    inputs: [valueInfo('x', { dtype: 'float32', shape: [1, 3, SIDE, SIDE] })],
    outputs: [valueInfo('y', { dtype: 'float32', shape: [1, CHANNELS, 1, 1] })],
  });
  return writeModel(model);
}

let world: Deployment;
let broker: TestBroker;
let central: RunningCli;
let relay: Relay;
/** The plans that served, in order. */
let statuses: PlanStatus[];
/** What the planner compared, in order. */
let rankings: PlanRanking[];
let agents: Map<string, RunningCli>;
/** Plans of frames that have ended. */
let used: Set<string>;
let filming: Promise<void>;
let isFilming: boolean;

beforeEach(async () => {
  world = await Deployment.create();
  await mkdir(join(world.folder, 'models', 'net'), { recursive: true });
  await writeFile(join(world.folder, 'models', 'net', 'model.onnx'), network());
  await writeFile(join(world.folder, 'models', 'net', 'model.yaml'), 'name: net\ntask: raw\n');
  broker = (await world.broker('embedded'))!;
  relay = await Relay.open(broker.port);
  statuses = [];
  rankings = [];
  used = new Set();
  agents = new Map();
  const bus = await world.connect(broker.url, 'test');
  await bus.subscribe(world.names.plan('net'), 1, ({ payload }) => {
    const status = planStatus.parse(JSON.parse(Buffer.from(payload).toString()));
    if (statuses.at(-1)?.id !== status.id) statuses.push(status);
  });
  await bus.subscribe(world.names.planRanking('net'), 1, ({ payload }) => {
    rankings.push(planRanking.parse(JSON.parse(Buffer.from(payload).toString())));
  });
});
afterEach(async () => {
  isFilming = false;
  await filming.catch(() => {});
  await relay.close();
  await world.end();
});

/**
 * Starts central, whose executor takes `FACTOR` times as long as this machine, and the camera. Plans are those of the
 * strategy `single`: others share frames between machines, so that much can change before another plan is better.
 */
async function begin(nodes: Readonly<Record<string, number>>): Promise<void> {
  for (const [id, slowness] of Object.entries(nodes)) addNode(id, slowness);
  world.slow('central', FACTOR);
  const planner = { hold_s: HOLD_S };
  central = await world.central(broker.url, { model: 'net', planner, args: ['--strategy', 'single'] });
  await central.printed(/central is online/);
  const camera = await world.camera(await world.connect(broker.url, 'camera'), 'front');
  isFilming = true;
  filming = film(camera);
}

/** A node agent joins; `a` is behind the relay. */
function addNode(id: string, slowness: number): void {
  world.slow(id, slowness);
  agents.set(id, world.agent(id === 'a' ? relay.url : broker.url, id));
}

/** Frames one after another; every one must end well. */
async function film(camera: FrameClient): Promise<void> {
  const [picture] = await pictures(1);
  for (let count = 0; isFilming; count++) {
    const { result } = await camera.send(`f-${count}`, { v: 1, format: 'jpeg', d: picture! }, 60_000);
    expect([result.status, result.error]).toEqual(['ok', undefined]);
    used.add(result.plan!);
  }
}

const where = ({ stages }: PlanStatus): string => stages.map(({ on }) => on).join(' > ');
/** Waits until a plan of this place has served a frame. */
async function serves(place: string): Promise<void> {
  const isThere = (): boolean => {
    const last = statuses.at(-1);
    return last !== undefined && where(last) === place && used.has(last.id);
  };
  await eventually(`a plan on ${place}`, isThere, 60_000).catch((error: Error) => {
    throw new Error(`${error.message}; plans: ${JSON.stringify(statuses)}; ${central.printedSoFar}`);
  });
}

/** Ends the camera, and checks where the plans were, one after another. */
async function expectPlans(...places: readonly string[]): Promise<PlanStatus[]> {
  isFilming = false;
  await filming;
  expect(statuses.map(where)).toEqual(places);
  return statuses;
}

describe('a cluster plans again while frames flow', () => {
  test('when the link to a node falls to a tenth of its bandwidth and comes back', { timeout: 180_000 }, async () => {
    const BYTES_PER_S = 2_000_000;
    relay.slow(BYTES_PER_S);
    await begin({ a: 1 });
    await serves('a');
    relay.slow(BYTES_PER_S / 10);
    await serves('central');
    relay.slow(BYTES_PER_S);
    await serves('a');
    const plans = await expectPlans('central', 'a', 'central', 'a');
    for (const { changed } of plans.slice(2)) expect(changed).toContainEqual({ what: 'network', node: 'a' });
  });

  test("when a node's processor is taken and given back", { timeout: 180_000 }, async () => {
    await begin({ a: 1 });
    await serves('a');
    world.slow('a', 60);
    await serves('central');
    world.slow('a', 1);
    await serves('a');
    const plans = await expectPlans('central', 'a', 'central', 'a');
    for (const { changed } of plans.slice(2)) expect(changed).toContainEqual({ what: 'cpu', node: 'a' });
    for (const { id } of plans.slice(1)) expect(rankings.map(({ plans: [best] }) => best?.plan)).toContain(id);
  });

  test('when a tier disappears and when a node joins', { timeout: 180_000 }, async () => {
    await begin({ a: 1, b: 6 });
    await serves('a');
    await Promise.all(['a', 'b'].map((id) => kill(agents.get(id)!)));
    await serves('central');
    addNode('c', 2);
    await serves('c');
    const plans = await expectPlans('central', 'a', 'central', 'c');
    expect(plans[2]!.changed).toContainEqual({ what: 'node left', node: 'a' });
    // It is busy with its start when it is measured first, so that its processor may be what counts in the end.
    expect(plans[3]!.changed!.map(({ node }) => node)).toContain('c');
  });
});
