import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBroker } from '../../broker/broker.ts';
import type { RunningBroker } from '../../broker/broker-options.ts';
import { type Agent, startAgent } from '../../node-agent/agent.ts';
import { writeModel } from '../../shared/onnx/write.ts';
import { type BlobStore, type Bus, silentLog } from '../../shared/ports.ts';
import { type BlobRange, blobGetMessage } from '../../shared/protocol/messages/blob.ts';
import { type ControlMessage, controlMessage, type ModelManifest } from '../../shared/protocol/messages/control.ts';
import { inlineRegions } from '../../shared/protocol/messages/region.ts';
import { type ResultMessage, resultMessage } from '../../shared/protocol/messages/work.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { encode } from '../../shared/runtime/cbor.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { packModel } from '../../shared/runtime/package.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import { piecesAsked } from '../support/blob-source.ts';
import { type RecordingLog, recordingLog } from '../support/recording-log.ts';
import { tinyInput, tinyNetwork, tinyPlan, wireRegion } from '../support/tiny-network.ts';

/**
 * A node agent that gets wrong messages from central, or from another client. After each of them valid work is answered
 * as usual.
 */

const NODE = 'constructor';
const PLAN = 'p-00000001';
const topics = topicsOf();
const raw = { name: 'raw' as const };
const v = 1;

let folder: string;
let store: BlobStore;
let broker: RunningBroker;
let bus: Bus;
let wire: Wire;
let agent: Agent;
let log: RecordingLog;
let manifest: ModelManifest;
let good: string | undefined;
/** How blobs are answered. */
let serve: (request: BlobRange) => Promise<unknown>;
const answers: (ControlMessage | ResultMessage)[] = [];
let arrived = (): void => {};

/** The next answer of the node. */
async function answer(): Promise<ControlMessage | ResultMessage> {
  while (answers.length === 0) await new Promise<void>((resolve) => (arrived = resolve));
  return answers.shift()!;
}

const honest = async ({ sha, offset, length }: BlobRange) => ({
  v,
  sha,
  offset,
  size: await store.size(sha),
  d: await store.read(sha, offset, length),
});

const whole = (shape: readonly number[]) => shape.map((size): [number, number] => [0, size]);
const x = tinyInput(3);
const OUT = { tensor: 'y', box: whole([1, 8, 8, 8]), codec: raw, to: ['central'] };
const tile = { t_id: 0, in: [wireRegion('x', x)], out: [OUT] };
const work = { v, plan: PLAN, i_id: '1-1', stage: 0, attempt: 0, budget_ms: 60_000, tiles: [tile] };

async function undisturbed(): Promise<void> {
  await wire.send(NODE, 'work', work);
  const result = await answer();
  if (!('tiles' in result)) throw new Error(JSON.stringify(result));
  const [only] = result.tiles;
  if (only === undefined || !('out' in only)) throw new Error(JSON.stringify(result));
  const hash = createHash('sha256').update(inlineRegions(only.out)[0]!.d).digest('hex');
  good ??= hash;
  expect(hash).toBe(good);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-agent-garbage-'));
  store = await openBlobStore(join(folder, 'central'));
  manifest = await packModel({ name: 'tiny', model: tinyNetwork(), store });
  broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  const url = broker.urls[0]!;
  bus = await connectBus({ url, clientId: 'tessera-central', log: silentLog });
  wire = new Wire({ bus, topics, self: 'central', log: silentLog, now: () => performance.now() });
  const take = (_from: string, message: ControlMessage | ResultMessage): void => {
    answers.push(structuredClone(message));
    arrived();
  };
  wire.on('control', controlMessage, take);
  wire.on('result', resultMessage, take);
  wire.on('blob-get', blobGetMessage, (from, request) => {
    for (const piece of piecesAsked(request)) void serve(piece).then((part) => wire.send(from, 'blob-part', part));
  });
  await wire.start();
  log = recordingLog();
  agent = await startAgent({
    bus: { url },
    base: 'tessera',
    id: NODE,
    tier: 'edge',
    threads: 1,
    sessionMemoryMb: 100,
    stateDir: join(folder, 'node'),
    log,
  });
  serve = honest;
  await wire.send(NODE, 'control', {
    v,
    type: 'prepare',
    plan: tinyPlan(manifest.skeleton.sha, { kind: 'whole' }, PLAN),
    manifest,
    stages: [0],
  });
  expect(await answer()).toMatchObject({ type: 'ready', plan: PLAN });
  await undisturbed();
});
afterAll(async () => {
  await agent.stop();
  await bus.stop();
  await broker.stop();
  await rm(folder, { recursive: true });
});

describe('invalid work is answered with the reason', () => {
  const region = tile.in[0]!;
  const place = { tensor: region.tensor, box: region.box };
  const shifted = region.box.map(([start, end], axis): [number, number] =>
    axis === 2 ? [start + 1, end + 1] : [start, end],
  );
  it.each<[string, object, string]>([
    ['an unknown plan', { plan: 'p-ffffff' }, 'unknown-plan'],
    ['a plan that every object has', { plan: 'constructor' }, 'unknown-plan'],
    ['an unknown stage', { stage: 9 }, 'unknown-plan'],
    ['a tile that the plan has not', { tiles: [{ ...tile, t_id: 2 ** 40 }] }, 'bad-input'],
    ['an input in another place', { tiles: [{ ...tile, in: [{ ...region, box: shifted }] }] }, 'bad-input'],
    ['an input of another shape', { tiles: [{ ...tile, in: [{ ...region, shape: [1, 3, 8, 32] }] }] }, 'bad-input'],
    ['an input of another type', { tiles: [{ ...tile, in: [{ ...region, dtype: 'int32' }] }] }, 'bad-input'],
    ['too few bytes', { tiles: [{ ...tile, in: [{ ...region, d: region.d.slice(4) }] }] }, 'bad-input'],
    [
      'too many bytes',
      { tiles: [{ ...tile, in: [{ ...region, d: new Uint8Array(region.d.length + 4) }] }] },
      'bad-input',
    ],
    ['another input', { tiles: [{ ...tile, in: [{ ...region, tensor: '__proto__' }] }] }, 'bad-input'],
    ['no input', { tiles: [{ ...tile, in: [] }] }, 'bad-input'],
    ['an output that is not made', { tiles: [{ ...tile, out: [{ ...OUT, tensor: 'w1' }] }] }, 'bad-input'],
    ['an output in another place', { tiles: [{ ...tile, out: [{ ...OUT, box: whole([1, 8, 8, 9]) }] }] }, 'bad-input'],
    ['no output', { tiles: [{ ...tile, out: [] }] }, 'bad-input'],
    ['an input that the node does not hold', { tiles: [{ ...tile, in: [{ ...place, held: true }] }] }, 'missing-input'],
    [
      'an input that another node does not send',
      { budget_ms: 50, tiles: [{ ...tile, in: [{ ...place, from: 'pi-2' }] }] },
      'missing-input',
    ],
    [
      'a held input that the stage does not read',
      { tiles: [{ ...tile, in: [{ ...place, tensor: 'w1', held: true }] }] },
      'bad-input',
    ],
    [
      'an output to be kept that is not made',
      { tiles: [{ ...tile, out: [{ ...OUT, tensor: 'w1', to: [NODE] }] }] },
      'bad-input',
    ],
    ['an output without a receiver', { tiles: [{ ...tile, out: [{ ...OUT, to: [] }] }] }, 'bad-input'],
    ['an unknown codec', { tiles: [{ ...tile, in: [{ ...region, codec: { name: 'zip' } }] }] }, 'bad-input'],
    ['an unknown type', { tiles: [{ ...tile, in: [{ ...region, dtype: 'toString' }] }] }, 'bad-input'],
    ['a budget that is no number', { budget_ms: Number.NaN }, 'bad-input'],
    ['no time', { budget_ms: 0 }, 'expired'],
  ])('%s', async (_what, lie, code) => {
    await wire.send(NODE, 'work', { ...work, ...lie });
    expect(await answer()).toMatchObject({ n_id: NODE, tiles: [{ error: { code } }] });
    await undisturbed();
  });

  it('a tile that is twice in a message, both times', async () => {
    await wire.send(NODE, 'work', { ...work, tiles: [tile, tile] });
    const error = { code: 'bad-input', text: 'a tile is named twice' };
    expect(await answer()).toMatchObject({ tiles: [{ error }, { error }] });
    await undisturbed();
  });

  it('and work without tile ids is not answered', async () => {
    for (const lie of [
      { tiles: [] },
      { tiles: Array.from({ length: 5000 }, () => ({ t_id: 0, in: [], out: [] })) },
      { i_id: '../1' },
      { stage: -1 },
      { v: 2 },
    ])
      await wire.send(NODE, 'work', { ...work, ...lie });
    for (const bytes of [
      new Uint8Array(),
      Uint8Array.of(0xff),
      new Uint8Array(50_000).fill(0x81),
      encode(work).subarray(0, 99),
    ])
      await bus.publish(topics.wire(NODE, 'work', 'central'), bytes);
    await undisturbed();
    expect(answers).toEqual([]);
  });
});

describe('invalid plans and models are refused with a code', () => {
  const sha = 'a'.repeat(64);
  /** Of `w1`. */
  const WEIGHT_BYTES = 1728;
  let next = 16;
  const prepare = async (change: (message: { plan: object; manifest: ModelManifest; stages: number[] }) => object) => {
    const id = `p-${(next++).toString(16).padStart(8, '0')}`;
    const message = { plan: tinyPlan(manifest.skeleton.sha, { kind: 'whole' }, id), manifest, stages: [0] };
    await wire.send(NODE, 'control', { v, type: 'prepare', ...message, ...change(message) });
  };
  /** A model that is made for this node. */
  const skeletonOf = async (bytes: Uint8Array) => ({ sha: await store.put(bytes), size: bytes.length });
  const cutting = (skeleton: { sha: string; size: number }, blobs: ModelManifest['blobs'] = []) => ({
    plan: tinyPlan(skeleton.sha, { kind: 'whole' }, `p-${(next++).toString(16).padStart(8, '0')}`),
    manifest: { ...manifest, skeleton, blobs },
  });

  it.each<[string, () => Promise<object>, string]>([
    ['no plan', async () => ({ plan: 'x' }), 'TESSERA_PLAN_INVALID'],
    [
      'a plan of another model',
      async () => ({ manifest: { ...manifest, skeleton: { sha, size: 1 } } }),
      'TESSERA_PLAN_INVALID',
    ],
    ['stages that the plan has not', async () => ({ stages: [7] }), 'TESSERA_PLAN_INVALID'],
    [
      'more bytes than any disk has',
      async () => ({ manifest: { ...manifest, blobs: [{ sha, size: 2 ** 52 }] } }),
      'TESSERA_BLOB',
    ],
    [
      'a skeleton that is no model',
      async () => cutting(await skeletonOf(new Uint8Array(500).fill(9))),
      'TESSERA_MODEL_INVALID',
    ],
    [
      'a skeleton that is a web page',
      async () => cutting(await skeletonOf(Buffer.from('<html>'))),
      'TESSERA_MODEL_INVALID',
    ],
    [
      'weights outside of the blobs',
      async () => {
        const model = tinyNetwork();
        const w1 = model.graph.initializers.get('w1')!;
        const data = { kind: 'external', location: 'tmp-0123456789abcdef', offset: 0, length: WEIGHT_BYTES } as const;
        const initializers = new Map(model.graph.initializers).set('w1', { ...w1, data });
        return cutting(await skeletonOf(writeModel({ ...model, graph: { ...model.graph, initializers } })));
      },
      'TESSERA_BLOB',
    ],
    [
      'weights that no blob holds',
      async () => {
        const model = tinyNetwork();
        const w1 = model.graph.initializers.get('w1')!;
        const data = { kind: 'external', location: 'b'.repeat(64), offset: 0, length: WEIGHT_BYTES } as const;
        const initializers = new Map(model.graph.initializers).set('w1', { ...w1, data });
        return cutting(await skeletonOf(writeModel({ ...model, graph: { ...model.graph, initializers } })));
      },
      'TESSERA_BLOB',
    ],
  ])('%s', async (_what, lie, code) => {
    const change = await lie();
    await prepare(() => change);
    expect(await answer()).toMatchObject({ type: 'refused', code });
    await undisturbed();
  });

  it('names that are paths, and invalid manifests, are not answered', async () => {
    for (const blobs of [[{ sha: '../../../etc/passwd', size: 1 }], [{ sha, size: -1 }], [{ sha, size: 0.5 }], 'x'])
      await prepare(() => ({ manifest: { ...manifest, blobs } }));
    await prepare(() => ({ manifest: { ...manifest, skeleton: { sha: 'A'.repeat(64), size: 1 } } }));
    await prepare(() => ({ stages: Array(1000).fill(0) }));
    await wire.send(NODE, 'control', { v, type: 'cancel', i_id: '1-1', stage: 0, t_id: Array(100_000).fill(0) });
    await wire.send(NODE, 'control', { v, type: 'ready', plan: PLAN, boot_id: 'x' });
    await undisturbed();
    expect(answers).toEqual([]);
  });

  it.each<[string, (request: BlobRange) => Promise<unknown>]>([
    ['other bytes', async (request) => ({ ...(await honest(request)), d: new Uint8Array(request.length) })],
    ['another size', async (request) => ({ ...(await honest(request)), size: 5 })],
    ['too few bytes', async (request) => ({ ...(await honest(request)), d: new Uint8Array(request.length - 1) })],
    ['too many bytes', async (request) => ({ ...(await honest(request)), d: new Uint8Array(request.length + 1) })],
    ['an error', async ({ sha }) => ({ v, sha, error: 'x'.repeat(1000) })],
  ])('a blob with %s is not stored', async (_what, lie) => {
    const model = tinyNetwork();
    const w1 = model.graph.initializers.get('w1')!;
    // A weight that this node does not have, since it downloads only the weights of its own stages.
    const bytes = Uint8Array.from({ length: WEIGHT_BYTES }, (_, k) => (k * 7 + next) & 255);
    const initializers = new Map(model.graph.initializers).set('w1', { ...w1, data: { kind: 'inline', bytes } });
    const packed = await packModel({
      name: 'tiny',
      model: { ...model, graph: { ...model.graph, initializers } },
      store,
    });
    const had = new Set(manifest.blobs.map((blob) => blob.sha));
    const [piece] = packed.blobs.filter((blob) => !had.has(blob.sha));
    serve = async (request) => (request.sha === piece!.sha ? lie(request) : honest(request));
    await prepare(() => cutting(packed.skeleton, packed.blobs));
    expect(await answer()).toMatchObject({ type: 'refused', code: 'TESSERA_BLOB' });
    serve = honest;
    const kept = await readdir(join(folder, 'node', 'blobs'));
    expect(kept).not.toContain(piece!.sha);
    expect(kept.filter((name) => name.startsWith('tmp-'))).toEqual([]);
    await undisturbed();
  });
});

it('other clients get no answer and no work done, and are logged once', async () => {
  const stranger = await connectBus({ url: broker.urls[0]!, clientId: 'stranger', log: silentLog });
  const before = log.lines.length;
  for (let k = 0; k < 50; k++) {
    await stranger.publish(topics.wire(NODE, 'work', 'ghost'), encode({ ...work, i_id: '999999-1' }));
    await stranger.publish(topics.wire(NODE, 'control', 'ghost'), encode({ v, type: 'release', plan: PLAN }));
    await stranger.publish(topics.wire(NODE, 'dance' as 'work', 'ghost'), Uint8Array.of(1));
    await stranger.publish(`${topics.wireInbox(NODE).replace('#', '')}x/y/z`, Uint8Array.of(1));
  }
  await undisturbed();
  await stranger.stop();
  expect(answers).toEqual([]);
  expect(log.lines.slice(before).filter((line) => line.startsWith('warn')).length).toBeLessThanOrEqual(4);
  expect(log.lines.filter((line) => line.startsWith('error'))).toEqual([]);
});
