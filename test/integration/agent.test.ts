import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { freePort } from '../../bench/testbed/mosquitto.ts';
import { startBroker } from '../../broker/broker.ts';
import type { RunningBroker } from '../../broker/broker-options.ts';
import { createCredentials } from '../../broker/credentials.ts';
import { type Agent, type AgentOptions, startAgent } from '../../node-agent/agent.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import type { Plan, Split } from '../../shared/plan/plan.ts';
import { type BlobStore, type Bus, silentLog } from '../../shared/ports.ts';
import { type ControlMessage, controlMessage, type ModelManifest } from '../../shared/protocol/messages/control.ts';
import { type Heartbeat, heartbeat, nodeInfo } from '../../shared/protocol/messages/node.ts';
import { inlineRegions } from '../../shared/protocol/messages/region.ts';
import { type ResultMessage, resultMessage, type WorkMessage } from '../../shared/protocol/messages/work.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { packModel } from '../../shared/runtime/package.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import { byteLength, paste, type Tensor, wholeBox } from '../../shared/tensor/tensor.ts';
import { serveModels } from '../support/blob-source.ts';
import { killAtNextMessage } from '../support/kill-worker.ts';
import { heavyInput, heavyNetwork, tinyInput, tinyNetwork, tinyPlan, wireRegion } from '../support/tiny-network.ts';

const topics = topicsOf();
const HALVES: Split = { kind: 'tiles', padding: 'halo', rows: [3, 5], cols: [8] };
const raw = { name: 'raw' as const };

/** Collects values; `next` resolves with the first value, past or future, that was not taken yet and matches. */
class Mailbox<T> {
  readonly #items: T[] = [];
  readonly #waiters: { matches: (item: T) => boolean; take: (item: T) => void }[] = [];

  put(item: T): void {
    const index = this.#waiters.findIndex((waiter) => waiter.matches(item));
    if (index < 0) this.#items.push(item);
    else this.#waiters.splice(index, 1)[0]!.take(item);
  }

  next(matches: (item: T) => boolean = () => true): Promise<T> {
    const index = this.#items.findIndex(matches);
    if (index >= 0) return Promise.resolve(this.#items.splice(index, 1)[0]!);
    return new Promise((take) => this.#waiters.push({ matches, take }));
  }

  clear(): void {
    this.#items.length = 0;
  }
}

let folder: string;
let store: BlobStore;
let broker: RunningBroker;
let url: string;
let bus: Bus;
let wire: Wire;
let manifest: ModelManifest;
const statuses = new Mailbox<string>();
const infos = new Mailbox<string>();
const heartbeats = new Mailbox<Heartbeat>();
const control = new Mailbox<ControlMessage>();
const results = new Mailbox<ResultMessage>();
const offered: ModelManifest[] = [];
let chunksSent: () => number;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-agent-'));
  store = await openBlobStore(join(folder, 'central'));
  manifest = await packModel({ name: 'tiny', model: tinyNetwork(), store });
  offered.push(manifest);
  const listen = [`mqtt://127.0.0.1:${await freePort()}`];
  broker = await startBroker({ listen, anonymous: 'loopback', log: silentLog });
  url = broker.urls[0]!;
  bus = await connectBus({ url, clientId: 'tessera-central', log: silentLog });
  wire = new Wire({ bus, topics, self: 'central', log: silentLog, now: () => performance.now() });
  wire.on('control', controlMessage, (_from, message) => control.put(message));
  wire.on('result', resultMessage, (_from, message) => {
    const tiles = message.tiles.map((tile) =>
      'out' in tile
        ? { ...tile, out: inlineRegions(tile.out).map((region) => ({ ...region, d: region.d.slice() })) }
        : tile,
    );
    results.put({ ...message, tiles });
  });
  chunksSent = serveModels(wire, store, offered);
  await wire.start();
  await bus.subscribe(topics.nodeStatus('node-a'), 1, ({ payload }) => statuses.put(Buffer.from(payload).toString()));
  await bus.subscribe(topics.nodeInfo('node-a'), 1, ({ payload }) => infos.put(Buffer.from(payload).toString()));
  await bus.subscribe(topics.heartbeat('node-a'), 0, ({ payload }) =>
    heartbeats.put(heartbeat.parse(JSON.parse(Buffer.from(payload).toString()))),
  );
});
afterAll(async () => {
  await bus.stop();
  await broker.stop();
  await rm(folder, { recursive: true });
});

function options(overrides: Partial<AgentOptions> = {}): AgentOptions {
  return {
    bus: { url },
    base: 'tessera',
    id: 'node-a',
    tier: 'edge',
    threads: 1,
    sessionMemoryMb: 100,
    stateDir: join(folder, 'node-a'),
    log: silentLog,
    ...overrides,
  };
}

async function prepare(plan: string, split: Split, model = manifest): Promise<ControlMessage> {
  const { sha } = model.skeleton;
  await wire.send('node-a', 'control', {
    v: 1,
    type: 'prepare',
    plan: tinyPlan(sha, split, plan),
    manifest: model,
    stages: [0],
  });
  return control.next((message) => 'plan' in message && message.plan === plan);
}

type WorkTile = WorkMessage['tiles'][number];

/** The two tiles of HALVES. */
function halves(x: Tensor): WorkTile[] {
  const inBox = (rows: [number, number]): [number, number][] => [[0, 1], [0, 3], rows, [0, 16]];
  const outBox = (rows: [number, number]): [number, number][] => [[0, 1], [0, 8], rows, [0, 8]];
  return [
    {
      t_id: 0,
      in: [wireRegion('x', x, inBox([0, 9]))],
      out: [{ tensor: 'y', box: outBox([0, 3]), codec: raw, to: ['central'] }],
    },
    {
      t_id: 1,
      in: [wireRegion('x', x, inBox([3, 16]))],
      out: [{ tensor: 'y', box: outBox([3, 8]), codec: raw, to: ['central'] }],
    },
  ];
}

function work(plan: string, tiles: WorkTile[], overrides: Partial<WorkMessage> = {}): WorkMessage {
  return { v: 1, plan, i_id: '1-1', stage: 0, attempt: 0, budget_ms: 60_000, tiles, ...overrides };
}

const errors = (message: ResultMessage) =>
  message.tiles.map((tile) => ('error' in tile ? tile.error.code : 'ok')).join(' ');

describe('a node agent', () => {
  let agent: Agent;
  let worker: Worker;
  beforeEach(async () => {
    for (const mailbox of [statuses, infos, heartbeats, control, results]) mailbox.clear();
    const started = new Promise<Worker>((resolve) => process.once('worker', resolve));
    agent = await startAgent(options());
    worker = await started;
    await statuses.next((status) => status === 'online');
  });
  afterEach(() => agent.stop());

  it('announces itself, sends a heartbeat every second, and publishes offline when it stops', async () => {
    const info = nodeInfo.parse(JSON.parse(await infos.next()));
    expect(info).toMatchObject({ id: 'node-a', tier: 'edge', wire: [1, 1], session_memory_mb: 100 });
    expect(info.runtime).toMatch(/^onnxruntime-node \d/);
    const first = await heartbeats.next();
    const second = await heartbeats.next();
    expect(second.uptime_sec - first.uptime_sec).toBeLessThanOrEqual(2);
    expect(first).toMatchObject({ queue: 0, tiles_per_s: 0 });
    await agent.stop();
    await agent.stop();
    expect(await statuses.next()).toBe('offline');
  });

  it('downloads a model and runs its tiles, and the parts equal the whole network, bit for bit', async () => {
    expect(await prepare('p-00000001', HALVES)).toMatchObject({ type: 'ready', plan: 'p-00000001' });
    const pieces = [manifest.skeleton, ...manifest.blobs].map(({ sha }) => sha);
    expect((await readdir(join(folder, 'node-a', 'blobs'))).sort()).toEqual([...pieces].sort());

    const x = tinyInput(11);
    await wire.send('node-a', 'work', work('p-00000001', halves(x), { attempt: 2 }));
    const result = await results.next();
    expect(result).toMatchObject({ plan: 'p-00000001', i_id: '1-1', stage: 0, attempt: 2, n_id: 'node-a' });
    const session = await loadSession(writeModel(tinyNetwork()), { threads: 1 });
    const whole = (await session.run(new Map([['x', x]]))).get('y')!;
    const y: Tensor = { ...whole, data: new Uint8Array(byteLength(whole)) };
    for (const tile of result.tiles)
      if ('out' in tile) for (const { box, d } of inlineRegions(tile.out)) paste(y, box, d);
    expect(Buffer.compare(y.data, whole.data)).toBe(0);

    const sent = chunksSent();
    expect(await prepare('p-00000001', HALVES)).toMatchObject({ type: 'ready' });
    expect(await prepare('p-00000002', { kind: 'whole' })).toMatchObject({ type: 'ready' });
    expect(chunksSent()).toBe(sent);
    const { models } = nodeInfo.parse(JSON.parse(await infos.next((text) => text.includes('"tiny"'))));
    expect(models).toEqual([{ name: 'tiny', sha256: manifest.skeleton.sha }]);
  });

  it('downloads only the weights that its stages read; a later plan brings the difference', async () => {
    await rm(join(folder, 'node-a', 'blobs'), { recursive: true });
    await agent.stop();
    const started = new Promise<Worker>((resolve) => process.once('worker', resolve));
    agent = await startAgent(options());
    worker = await started;
    const { sha } = manifest.skeleton;
    const whole = tinyPlan(sha, { kind: 'whole' }, 'p-0000000a');
    const [stage] = whole.stages;
    const stages = [
      { ...stage!, outputs: ['p'] },
      { ...stage!, id: 1, inputs: ['p'] },
    ];
    const ask = async (plan: Plan, ids: number[]): Promise<string[]> => {
      await wire.send('node-a', 'control', { v: 1, type: 'prepare', plan, manifest, stages: ids });
      // Stages that are ready earlier are announced before.
      await control.next((message) => message.type === 'ready' && message.plan === plan.id && !message.stages);
      return readdir(join(folder, 'node-a', 'blobs'));
    };
    const before = chunksSent();
    const first = await ask({ ...whole, id: 'p-0000000b', stages }, [0]);
    const size = (names: string[]) =>
      names.reduce((sum, name) => sum + (manifest.blobs.find((blob) => blob.sha === name)?.size ?? 0), 0);
    // 16 kernels of 3x3x3, not the 8 of 16x3x3 of the second convolution.
    expect(size(first)).toBe(16 * 27 * 4);
    expect(first).toHaveLength(2);
    expect(chunksSent() - before).toBe(2);
    const second = await ask({ ...whole, id: 'p-0000000c', stages }, [0, 1]);
    expect(size(second)).toBe(16 * 27 * 4 + 8 * 144 * 4);
    expect(chunksSent() - before).toBe(3);
  });

  it('answers impossible work with the reason', async () => {
    const tiles = () => halves(tinyInput());
    await prepare('p-00000001', HALVES);
    await wire.send('node-a', 'work', work('p-00000009', tiles()));
    expect(errors(await results.next())).toBe('unknown-plan unknown-plan');
    await wire.send('node-a', 'work', work('p-00000001', tiles(), { budget_ms: 0 }));
    expect(errors(await results.next())).toBe('expired expired');
    const [first, second] = tiles();
    await wire.send('node-a', 'work', work('p-00000001', [{ ...first!, in: second!.in }]));
    expect(errors(await results.next())).toBe('bad-input');
    await wire.send('node-a', 'work', work('p-00000001', tiles(), { i_id: '5-1' }));
    expect(errors(await results.next())).toBe('ok ok');
    await wire.send('node-a', 'work', work('p-00000001', tiles(), { i_id: '4-1' }));
    expect(errors(await results.next())).toBe('expired expired');
    await wire.send('node-a', 'control', { v: 1, type: 'release', plan: 'p-00000001' });
    await wire.send('node-a', 'work', work('p-00000001', tiles(), { i_id: '5-2' }));
    expect(errors(await results.next())).toBe('unknown-plan unknown-plan');
  });

  it('refuses a plan whose blobs are missing, and an invalid plan', async () => {
    const { sha } = manifest.skeleton;
    const twisted = { ...tinyPlan(sha, HALVES, 'p-00000003'), stages: [] };
    await wire.send('node-a', 'control', { v: 1, type: 'prepare', plan: twisted, manifest, stages: [0] });
    expect(await control.next()).toMatchObject({ type: 'refused', plan: 'p-00000003', code: 'TESSERA_PLAN_INVALID' });
    const rows: Split = { kind: 'tiles', padding: 'halo', rows: [3, 50], cols: [8] };
    expect(await prepare('p-00000004', rows)).toMatchObject({ type: 'refused' });
  });

  it('answers run-failed when its thread dies, and works again afterwards', async () => {
    const heavy = await packModel({ name: 'heavy', model: heavyNetwork(), store });
    offered.push(heavy);
    expect(await prepare('p-00000005', { kind: 'whole' }, heavy)).toMatchObject({ type: 'ready' });
    const x = heavyInput();
    const out = [{ tensor: 'y', box: wholeBox([1, 64, 96, 96]) as [number, number][], codec: raw, to: ['central'] }];
    const tile = { t_id: 0, in: [wireRegion('x', x)], out };
    const message = (counter: number) => work('p-00000005', [tile], { i_id: `6-${counter}` });
    const frames = 20;
    const restarted = new Promise<Worker>((resolve) => process.once('worker', resolve));
    killAtNextMessage(worker);
    for (let frame = 0; frame < frames; frame++) await wire.send('node-a', 'work', message(frame));
    const answers = await Promise.all(Array.from({ length: frames }, () => results.next()));
    expect(answers.map(errors)).toContain('run-failed');
    worker = await restarted;
    let answer = 'run-failed';
    for (let frame = frames; answer === 'run-failed'; frame++) {
      await wire.send('node-a', 'work', message(frame));
      answer = errors(await results.next());
    }
    expect(answer).toBe('ok');
  });

  it('refuses to start beside another one with its id, without disturbing it', async () => {
    statuses.clear();
    await expect(startAgent(options({ stateDir: join(folder, 'twin') }))).rejects.toMatchObject({
      code: 'TESSERA_NODE_DUPLICATE',
      hint: expect.any(String),
    });
    await heartbeats.next();
    expect(await prepare('p-00000001', HALVES)).toMatchObject({ type: 'ready' });
    await agent.stop();
    // The only status since: there was no last will in between.
    expect(await statuses.next()).toBe('offline');
  });

  it('announces itself again after a broker outage, and its plans are still ready', async () => {
    await prepare('p-00000001', HALVES);
    const { port } = new URL(url);
    await broker.stop();
    statuses.clear();
    infos.clear();
    broker = await startBroker({
      listen: [`mqtt://127.0.0.1:${port}`],
      anonymous: 'loopback',
      log: silentLog,
    });
    expect(await statuses.next((status) => status === 'online')).toBe('online');
    expect(JSON.parse(await infos.next()).session).not.toMatch(/-1$/);
    const sent = chunksSent();
    expect(await prepare('p-00000001', HALVES)).toMatchObject({ type: 'ready' });
    expect(chunksSent()).toBe(sent);
  });
});

it('needs no more rights than the broker gives a node', async () => {
  const credentials = await createCredentials(join(folder, 'broker'));
  const guarded = await startBroker({
    listen: ['mqtt://127.0.0.1:0'],
    anonymous: 'never',
    credentials,
    log: silentLog,
  });
  const server = { url: guarded.urls[0]! };
  const central = await connectBus({
    ...server,
    ...(await credentials.issue('central', 'central')),
    clientId: 'tessera-central',
    log: silentLog,
  });
  const beats = new Mailbox<string>();
  await central.subscribe(topics.heartbeat('node-d'), 0, ({ topic }) => beats.put(topic));
  const secured = new Wire({ bus: central, topics, self: 'central', log: silentLog, now: () => performance.now() });
  const answers = new Mailbox<string>();
  secured.on('control', controlMessage, (from, message) => answers.put(`${from} ${message.type}`));
  await secured.start();
  const agent = await startAgent(
    options({
      id: 'node-d',
      bus: { ...server, ...(await credentials.issue('node', 'node-d')) },
      stateDir: join(folder, 'node-d'),
      blobDir: store.folder,
    }),
  );
  await beats.next();
  const plan = tinyPlan(manifest.skeleton.sha, HALVES);
  await secured.send('node-d', 'control', { v: 1, type: 'prepare', plan, manifest, stages: [0] });
  expect(await answers.next()).toBe('node-d ready');
  expect([guarded.counters.refused.publishes, guarded.counters.refused.subscriptions]).toEqual([0, 0]);
  await agent.stop();
  await central.stop();
  await guarded.stop();
});

it('takes over an id whose retained status is online when no heartbeat confirms it', async () => {
  await bus.publish(topics.nodeStatus('node-b'), 'online', { qos: 1, retain: true });
  const agent = await startAgent(options({ id: 'node-b', stateDir: join(folder, 'node-b') }));
  expect(agent.id).toBe('node-b');
  await agent.stop();
});

it('makes an id where none is given, and stops in time', async () => {
  const agent = await startAgent(options({ id: undefined, stateDir: join(folder, 'nameless') }));
  expect(agent.id).toMatch(/^[a-z0-9-]+-[0-9a-f]{4}$/);
  const started = performance.now();
  await agent.stop();
  expect(performance.now() - started).toBeLessThan(8000);
});

it('reports a missing broker with a coded error', async () => {
  await expect(
    startAgent(options({ id: 'node-c', bus: { url: 'mqtt://127.0.0.1:1' }, stateDir: join(folder, 'node-c') })),
  ).rejects.toMatchObject({ code: 'TESSERA_BROKER', hint: expect.any(String) });
});
