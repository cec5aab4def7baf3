import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { RunningCli } from '../../bench/testbed/run-cli.ts';
import { readModel } from '../../shared/onnx/read.ts';
import { resolveModel } from '../../shared/onnx/resolve.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { Plan, Stage } from '../../shared/plan/plan.ts';
import { type BlobStore, type Bus, silentLog } from '../../shared/ports.ts';
import { type ControlMessage, controlMessage, type ModelManifest } from '../../shared/protocol/messages/control.ts';
import { type Heartbeat, heartbeat } from '../../shared/protocol/messages/node.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';
import {
  type ResultMessage,
  resultMessage,
  type TensorMessage,
  tensorMessage,
  type WorkMessage,
} from '../../shared/protocol/messages/work.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { BlobServer } from '../../shared/runtime/blob-server.ts';
import { openBlobStore } from '../../shared/runtime/blob-store.ts';
import { decode } from '../../shared/runtime/cbor.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { loadSession } from '../../shared/runtime/ort.ts';
import { packModel } from '../../shared/runtime/package.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import type { Box, Tensor } from '../../shared/tensor/tensor.ts';
import { localBroker } from '../support/local-broker.ts';
import { numbers, wireRegion } from '../support/tiny-network.ts';

/**
 * Tensors that go from node to node: agents in processes of their own compute the bundled network in two consecutive
 * stages of tiles and a last whole stage, and this test plays central. If it fails, tiles cannot stay at their node, or
 * what they read of their neighbours goes wrong.
 */

const topics = topicsOf();
const NODES = ['pi-1', 'pi-2', 'pi-3'] as const;
const RAW = { name: 'raw' } as const;
type Tile = WorkMessage['tiles'][number];

let folder: string;
let store: BlobStore;
let manifest: ModelManifest;
let compiled: CompiledPlan;
let input: Tensor;
let whole: Float32Array;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-straight-'));
  const bytes = await readFile(join(import.meta.dirname, '../../config/models/scenes/model.onnx'));
  store = await openBlobStore(join(folder, 'central'));
  const { model } = resolveModel(readModel(bytes));
  manifest = await packModel({ name: 'scenes', model, store });
  const stage = (id: number, read: string, made: string, split: Stage['split'], nodes: readonly string[]): Stage => ({
    id,
    inputs: [read],
    outputs: [made],
    split,
    on: { mode: 'share', nodes },
    fallback: 'none',
    codec: {},
  });
  const halo = (rows: number[], cols: number[]): Stage['split'] => ({ kind: 'tiles', padding: 'halo', rows, cols });
  const plan: Plan = {
    format: 'tessera-plan/1',
    id: 'p-57a164',
    model: manifest.skeleton.sha,
    source: 'central',
    strategy: 'test',
    reason: 'test',
    stages: [
      stage(0, 'input', 'pool2', halo([12, 20], [16, 16]), ['pi-1', 'pi-2']),
      stage(1, 'pool2', 'pool4', halo([3, 5], [4, 4]), ['pi-1', 'pi-2']),
      stage(2, 'pool4', 'logits', { kind: 'whole' }, ['pi-3']),
    ],
    predicted: null,
  };
  compiled = compilePlan(plan, resolveModel(model));
  const shape = [1, 3, 128, 128];
  input = { dtype: 'float32', shape, data: new Uint8Array(numbers(3 * 128 * 128, 9).buffer) };
  const session = await loadSession(new Uint8Array(bytes), { threads: 1 });
  const { data } = (await session.run(new Map([['input', input]]))).get('logits')!;
  whole = new Float32Array(data.slice().buffer);
});
afterAll(() => rm(folder, { recursive: true }));

/** The node of a part: the upper tiles at pi-1, the lower ones at pi-2. */
const ownerOf = (stage: number, tId: number): string => (stage === 2 ? 'pi-3' : NODES[Math.floor(tId / 2)]!);
const wire = (box: Box): [number, number][] => box.map(([start, end]) => [start, end]);

/** A tile whose output stays at its node and whose readers elsewhere get what they read, and no more. */
function tileOf(stage: number, tId: number): Tile {
  const { in: read, links, out } = compiled.stages[stage]!.parts[tId]!;
  const self = ownerOf(stage, tId);
  const made = out[0]!;
  const readers = compiled.stages[stage + 1]?.parts ?? [];
  const away = readers.flatMap((reader) => {
    const to = ownerOf(stage + 1, reader.t_id);
    return to === self
      ? []
      : reader.links
          .filter((link) => link.t_id === tId)
          .map(({ tensor, box }) => ({ tensor, box: wire(box), codec: made.codec, to: [to] }));
  });
  const stays = { tensor: made.tensor, box: wire(made.box), codec: made.codec, to: [stage === 2 ? 'central' : self] };
  return {
    t_id: tId,
    in:
      stage === 0
        ? read.map(({ tensor, box }) => wireRegion(tensor, input, box))
        : links.map(({ t_id, tensor, box }) => {
            const from = ownerOf(stage - 1, t_id);
            return { tensor, box: wire(box), ...(from === self ? { held: true as const } : { from }) };
          }),
    out: [stays, ...away],
  };
}

const regionsOf = ({ tiles }: ResultMessage): WireRegion[] =>
  tiles.flatMap((tile) => ('out' in tile ? inlineRegions(tile.out) : []));

function largestDifference(region: WireRegion | undefined): number {
  const values = new Float32Array(region!.d.slice().buffer);
  const range = Math.max(...whole) - Math.min(...whole);
  return Math.max(...values.map((value, k) => Math.abs(value - whole[k]!))) / range;
}

/** Values that came, and the next one that matches, past or future. */
class Arrivals<T> {
  readonly all: T[] = [];
  #waiting: (() => void)[] = [];

  put(value: T): void {
    this.all.push(value);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async next(matches: (value: T) => boolean): Promise<T> {
    for (;;) {
      const found = this.all.findIndex(matches);
      if (found >= 0) return this.all.splice(found, 1)[0]!;
      await new Promise<void>((wake) => this.#waiting.push(wake));
    }
  }
}

describe.each(['embedded', 'mosquitto'] as const)('tensors between nodes on the %s broker', (kind) => {
  const stops: (() => unknown)[] = [];
  const control = new Arrivals<{ from: string; message: ControlMessage }>();
  const results = new Arrivals<ResultMessage>();
  const tensors = new Arrivals<TensorMessage>();
  const beats = new Arrivals<{ node: string; beat: Heartbeat }>();
  /** Between nodes, as the broker sees it. */
  const travelled: { to: string; from: string; message: TensorMessage }[] = [];
  const running = new Map<string, RunningCli>();
  let url: string;
  let bus: Bus;
  let central: Wire;
  let isThere = true;

  const startNode = async (id: string): Promise<RunningCli> => {
    const args = ['agent', '--broker', url, '--id', id, '--threads', '1'];
    const cli = new RunningCli(args, { cwd: folder, env: { STATE_DIRECTORY: join(folder, `${kind}-${id}`) } });
    stops.push(() => cli.stop());
    running.set(id, cli);
    await cli.printed(/online/);
    await central.send(id, 'control', { v: 1, type: 'prepare', plan: compiled.plan, manifest, stages: [0, 1, 2] });
    const isLast = (message: ControlMessage): boolean =>
      message.type === 'refused' || (message.type === 'ready' && message.stages === undefined);
    const { message } = await control.next((one) => one.from === id && isLast(one.message));
    expect(message.type).toBe('ready');
    return cli;
  };
  const send = (node: string, iId: string, stage: number, tiles: Tile[], budget_ms = 60_000): Promise<number> =>
    central.send(node, 'work', { v: 1, plan: compiled.plan.id, i_id: iId, stage, attempt: 0, budget_ms, tiles });
  /** Sends all work of a stage, one message for each node. */
  const sendStage = async (iId: string, stage: number, change = (tile: Tile): Tile => tile): Promise<void> => {
    for (const node of NODES) {
      const mine = compiled.stages[stage]!.parts.map(({ t_id }) => t_id).filter((tId) => ownerOf(stage, tId) === node);
      if (mine.length > 0)
        await send(
          node,
          iId,
          stage,
          mine.map((tId) => change(tileOf(stage, tId))),
        );
    }
  };
  const answered = async (iId: string, stage: number, tiles: number): Promise<ResultMessage[]> => {
    const got: ResultMessage[] = [];
    while (got.flatMap((result) => result.tiles).length < tiles)
      got.push(await results.next((result) => result.i_id === iId && result.stage === stage));
    return got;
  };
  const errorsOf = (list: ResultMessage[]) =>
    list.flatMap(({ tiles }) => tiles.map((tile) => ('error' in tile ? tile.error.code : 'ok'))).sort();

  beforeAll(async () => {
    if (kind === 'mosquitto') {
      const mosquitto = await startMosquitto();
      isThere = mosquitto !== undefined;
      if (mosquitto === undefined) return;
      stops.push(() => mosquitto.stop());
      ({ url } = mosquitto);
    } else ({ url } = await localBroker(stops));
    bus = await connectBus({ url, clientId: 'tessera-central', log: silentLog });
    stops.unshift(() => bus.stop());
    central = new Wire({ bus, topics, self: 'central', log: silentLog, now: () => performance.now() });
    central.on('control', controlMessage, (from, message) => control.put({ from, message }));
    central.on('result', resultMessage, (_from, message) => results.put(structuredClone(message)));
    central.on('tensor', tensorMessage, (_from, message) => tensors.put(structuredClone(message)));
    const sizes = new Map([manifest.skeleton, ...manifest.blobs].map(({ sha, size }) => [sha, size]));
    const server = new BlobServer({
      wire: central,
      store,
      sizeOf: (sha) => sizes.get(sha),
      log: silentLog,
      now: () => performance.now(),
    });
    server.start();
    stops.unshift(() => server.stop());
    await central.start();
    await bus.subscribe('tessera-wire/1/+/tensor/+', 0, ({ topic, payload }) => {
      const [, , to, , from] = topic.split('/') as [string, string, string, string, string];
      travelled.push({ to, from, message: structuredClone(decode(payload, tensorMessage, topic)) });
    });
    for (const node of NODES)
      await bus.subscribe(topics.heartbeat(node), 0, ({ payload }) =>
        beats.put({ node, beat: heartbeat.parse(JSON.parse(Buffer.from(payload).toString())) }),
      );
    await Promise.all(NODES.map(startNode));
  });
  afterAll(async () => {
    for (const stop of stops.reverse()) await stop();
  });

  it('two stages of tiles whose outputs stay, and halos that go to neighbours, equal the whole network', async ({
    skip,
  }) => {
    if (!isThere) return skip(NO_MOSQUITTO);
    travelled.length = 0;
    // All work of a frame at once: tiles wait for what they read, and the last stage is sent before what it reads is made.
    for (const stage of [2, 0, 1]) await sendStage('1-1', stage);
    const [last] = await answered('1-1', 2, 1);
    const [logits] = regionsOf(last!);
    expect(largestDifference(logits)).toBeLessThanOrEqual(1e-4);

    const receipts = [...(await answered('1-1', 0, 4)), ...(await answered('1-1', 1, 4))];
    expect(receipts.flatMap(regionsOf)).toEqual([]);
    expect(errorsOf(receipts)).toEqual(Array(8).fill('ok'));
    // What travelled is what geometry says, in one message for each pair of nodes and stage.
    const links = compiled.stages.flatMap(({ parts }, stage) =>
      parts.flatMap(({ t_id, links: read }) =>
        read.map((link) => ({ ...link, from: ownerOf(link.stage, link.t_id), to: ownerOf(stage, t_id) })),
      ),
    );
    const crossing = links.filter(({ from, to }) => from !== to);
    const sent = travelled.flatMap(({ message }) => message.tiles.flatMap(({ out }) => out));
    const bytes = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0);
    expect(bytes(sent.map(({ d }) => d.byteLength))).toBe(bytes(crossing.map((link) => link.bytes)));
    expect(bytes(crossing.map((link) => link.bytes))).toBeLessThan(bytes(links.map((link) => link.bytes)) / 2);
  });

  it('frames that were freed leave nothing behind', async ({ skip }) => {
    if (!isThere) return skip(NO_MOSQUITTO);
    for (const stage of [0, 1, 2]) await sendStage('1-2', stage);
    await answered('1-2', 2, 1);
    beats.all.length = 0;
    const isFull = ({ beat }: { beat: Heartbeat }): boolean => (beat.regions?.bytes ?? 0) > 0;
    await beats.next((one) => one.node === 'pi-1' && isFull(one));
    for (const node of NODES) await central.send(node, 'control', { v: 1, type: 'free', i_id: ['1-1', '1-2'] });
    for (const node of NODES) await beats.next((one) => one.node === node && !isFull(one));
  });

  it('regions that stayed are sent where central orders it, also to central, and those that are not there are named', async ({
    skip,
  }) => {
    if (!isThere) return skip(NO_MOSQUITTO);
    const stay = (tile: Tile): Tile => ({ ...tile, out: tile.out.slice(0, 1) });
    await sendStage('1-3', 0, stay);
    await answered('1-3', 0, 4);
    const second = sendStage('1-3', 1);
    for (const { t_id, links } of compiled.stages[1]!.parts)
      for (const { t_id: maker, tensor, box } of links) {
        const [from, to] = [ownerOf(0, maker), ownerOf(1, t_id)];
        if (from === to) continue;
        const order = { i_id: '1-3', stage: 0, t_id: maker, attempt: 0, request: 100 * t_id + maker };
        const regions = [{ tensor, box: wire(box), codec: { name: 'packed' } as const }];
        await central.send(from, 'control', {
          v: 1,
          type: 'send',
          plan: compiled.plan.id,
          ...order,
          regions,
          to: [to],
        });
        const { message } = await control.next(({ message: one }) => 'request' in one && one.request === order.request);
        expect(message).toMatchObject({ type: 'sent', i_id: '1-3' });
      }
    await second;
    expect(errorsOf(await answered('1-3', 1, 4))).toEqual(Array(4).fill('ok'));
    const { tensor, box } = compiled.stages[1]!.parts[0]!.out[0]!;
    const order = { v: 1, type: 'send', plan: compiled.plan.id, stage: 1, t_id: 0, attempt: 0, to: ['central'] };
    const regions = [{ tensor, box: wire(box), codec: RAW }];
    await central.send('pi-1', 'control', { ...order, i_id: '1-3', regions, request: 7 });
    const { stage, tiles } = await tensors.next(({ i_id }) => i_id === '1-3');
    expect([stage, tiles[0]!.out[0]!.tensor]).toEqual([1, tensor]);
    await central.send('pi-1', 'control', { ...order, i_id: '1-4', regions, request: 8 });
    const { message } = await control.next(({ message: one }) => 'request' in one && one.request === 8);
    expect(message).toMatchObject({ type: 'missing', i_id: '1-4', regions: [{ tensor, box: wire(box) }] });
  });

  it('a tile takes nothing from a node that the plan or its work does not name', async ({ skip }) => {
    if (!isThere) return skip(NO_MOSQUITTO);
    await sendStage('1-5', 0);
    await answered('1-5', 0, 4);
    const tile = tileOf(1, 0);
    const awaited = tile.in.find((region) => 'from' in region)!;
    const { box } = awaited;
    const shape = box.map(([start, end]) => end - start);
    const d = new Uint8Array(4 * shape.reduce((product, size) => product * size, 1));
    const lie = { tensor: awaited.tensor, box, dtype: 'float32', shape, codec: RAW, d };
    const message = {
      v: 1,
      plan: compiled.plan.id,
      i_id: '1-5',
      stage: 0,
      attempt: 0,
      tiles: [{ t_id: 2, out: [lie] }],
    };
    const now = () => performance.now();
    for (const stranger of ['pi-9', 'pi-3']) {
      const other = await connectBus({ url, clientId: `tessera-${stranger}-made-up`, log: silentLog });
      await new Wire({ bus: other, topics, self: stranger, log: silentLog, now }).send('pi-1', 'tensor', message);
      await other.stop();
    }
    const from = (node: string): Tile => ({
      ...tile,
      in: tile.in.map((region) => ('from' in region ? { ...region, from: node } : region)),
    });
    await send('pi-1', '1-5', 1, [from('pi-9')], 200);
    expect(errorsOf(await answered('1-5', 1, 1))).toEqual(['missing-input']);
    for (const stage of [1, 2]) await sendStage('1-5', stage);
    const [last] = await answered('1-5', 2, 1);
    expect(largestDifference(regionsOf(last!)[0])).toBeLessThanOrEqual(1e-4);
  });

  it('a node that was killed and started again misses what it held, and says so at once', async ({ skip }) => {
    if (!isThere) return skip(NO_MOSQUITTO);
    await sendStage('1-6', 0);
    await answered('1-6', 0, 4);
    running.get('pi-1')!.child.kill('SIGKILL');
    await startNode('pi-1');
    await send('pi-1', '1-6', 1, [tileOf(1, 0)]);
    const [result] = await answered('1-6', 1, 1);
    const held = tileOf(1, 0).in.filter((region) => 'held' in region);
    expect(result!.tiles).toMatchObject([
      { error: { code: 'missing-input', regions: held.map(({ tensor, box }) => ({ tensor, box })) } },
    ]);
  });
});
