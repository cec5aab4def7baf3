import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunningCli, runCli } from '../../bench/testbed/run-cli.ts';
import { startBroker } from '../../broker/broker.ts';
import type { RunningBroker } from '../../broker/broker-options.ts';
import { type Bus, type Message, silentLog } from '../../shared/ports.ts';
import type { Heartbeat, NodeInfo } from '../../shared/protocol/messages/node.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import { topics } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/** Commands that talk to a running cluster, against the embedded broker and a stand-in for central. */

const names = topics('tessera');
let cwd: string;
let broker: RunningBroker;
let bus: Bus;
let url: string;

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'tessera-cli-'));
});
afterAll(() => rm(cwd, { recursive: true }));
beforeEach(async () => {
  broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  url = broker.urls[0]!;
  bus = await connectBus({ url, clientId: 'test', log: silentLog });
});
afterEach(async () => {
  await bus.stop();
  await broker.stop();
});

/** The shortest bytes that count as a JPEG; nothing here decodes them. */
const jpeg = (mark: number): Uint8Array => Uint8Array.of(0xff, 0xd8, 0xff, 0xda, 0x00, 0x02, mark, 0xff, 0xd9);

const result = (frame: string, label: string): ResultObject => ({
  v: 1,
  id: '1-1',
  frame,
  camera: 'front',
  model: 'scenes',
  model_version: `sha256:${'0'.repeat(64)}`,
  frame_time: 1_763_650_000.5,
  latency_ms: 12.3,
  width: 4,
  height: 4,
  task: 'classify',
  status: 'ok',
  top: { label, score: 0.93 },
  predictions: [{ label, score: 0.93 }],
  approximate: false,
  missing: [],
  exit: null,
  plan: 'p-1',
  nodes: ['pi-1'],
  bytes_up: 1,
  bytes_down: 1,
  tiles_per_node: { 'pi-1': 1 },
});

/** Collects what arrives on a filter; `take(n)` resolves with the first n. */
async function collect(filter: string): Promise<(count: number) => Promise<Message[]>> {
  const got: Message[] = [];
  const waiting = new Set<() => void>();
  await bus.subscribe(filter, 1, (message) => {
    got.push({ ...message, payload: Uint8Array.from(message.payload) });
    for (const wake of waiting) wake();
  });
  return async (count) => {
    while (got.length < count) await new Promise<void>((resolve) => waiting.add(resolve));
    return got.slice(0, count);
  };
}

describe('tessera publish', () => {
  it('sends a file unchanged, under a new id each time', async () => {
    await writeFile(join(cwd, 'my cat.jpg'), jpeg(1));
    const take = await collect(names.inputAll);
    for (let i = 0; i < 2; i++) {
      expect(await runCli(['publish', 'front', 'my cat.jpg', '--broker', url], { cwd })).toMatchObject({
        code: 0,
        stdout: '',
      });
    }
    const [first, second] = await take(2);
    expect(first!.topic).toMatch(/^tessera\/input\/front\/my_cat\.jpg-[0-9a-f]{12}-0$/);
    expect(first!.payload).toEqual(jpeg(1));
    expect(second!.topic).not.toBe(first!.topic);
  });

  it('sends each JPEG of a stream on standard input', async () => {
    const take = await collect(names.inputAll);
    const input = Buffer.concat([jpeg(1), Buffer.from('--boundary'), jpeg(2), jpeg(3).subarray(0, 5)]);
    const { code, stderr } = await runCli(['publish', 'front', '-', '--broker', url], { cwd, input });
    expect(code).toBe(0);
    expect((await take(2)).map(({ payload }) => payload)).toEqual([jpeg(1), jpeg(2)]);
    expect(stderr).toMatch(/bytes of the stream belonged to no whole JPEG/);
    expect(stderr).toMatch(/2 frames sent/);
  });

  it('waits for the result of its own frame with --wait', async () => {
    await writeFile(join(cwd, 'dog.jpg'), jpeg(2));
    await bus.subscribe(names.inputAll, 1, ({ topic }) => {
      void bus.publish(names.result('front', 'scenes'), JSON.stringify(result('another-frame', 'cat')), { qos: 1 });
      void bus.publish(names.result('front', 'scenes'), JSON.stringify(result(topic.split('/').at(-1)!, 'dog')), {
        qos: 1,
      });
    });
    const { code, stdout } = await runCli(['publish', 'front', 'dog.jpg', '--wait', '--broker', url], { cwd });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d\d:\d\d:\d\d {2}front {2}scenes {2}dog 0\.93 {2}12 ms {2}nodes pi-1\n$/);
  });

  it('refuses a file that is no picture before it sends anything', async () => {
    await writeFile(join(cwd, 'notes.txt'), '{"a": 1}');
    const text = await runCli(['publish', 'front', 'notes.txt', '--broker', url], { cwd });
    expect(text).toMatchObject({ code: 1 });
    expect(text.stderr).toMatch(/error TESSERA_INPUT_INVALID: .*notes\.txt is JSON/);
    expect((await runCli(['publish', 'front', '-', '--broker', url], { cwd, input: 'text' })).stderr).toMatch(
      /TESSERA_INPUT_INVALID: standard input held no JPEG/,
    );
    expect((await runCli(['publish', 'no/slash', 'notes.txt', '--broker', url], { cwd })).code).toBe(2);
  });
});

describe('without a central', () => {
  it('publish warns with a hint, and not beside a central', async () => {
    await writeFile(join(cwd, 'alone.jpg'), jpeg(3));
    const alone = await runCli(['publish', 'front', 'alone.jpg', '--broker', url], { cwd });
    expect(alone.code).toBe(0);
    expect(alone.stderr).toMatch(/no central is online, so frames are not processed: start one with `.* central`/);
    await bus.publish(names.status, 'online', { qos: 1, retain: true });
    const heard = await runCli(['publish', 'front', 'alone.jpg', '--broker', url], { cwd });
    expect(heard.stderr).not.toMatch(/central/);
  });

  it('watch reports what it waits for, and when that changes', async () => {
    const watch = new RunningCli(['watch', '--broker', url], { cwd });
    await watch.printed(/waiting: no central is online/);
    await bus.publish(names.status, 'online', { qos: 1, retain: true });
    await watch.printed(/waiting: central is online and serves no model yet/);
    await bus.publish(names.plan('scenes'), '{}', { qos: 1, retain: true });
    await watch.printed(/waiting: no camera has sent a frame yet; `.* publish front photo.jpg`/);
    await bus.publish(names.cameraStatus('front'), 'online', { qos: 1, retain: true });
    await watch.printed(/waiting for the next result/);
    expect((await watch.stop()).code).toBe(0);
  });
});

describe('tessera watch', () => {
  it('prints the object as published with --json, and ignores retained results', async () => {
    await bus.publish(names.result('front', 'scenes'), JSON.stringify(result('old', 'cat')), { qos: 1, retain: true });
    const kept = await runCli(['watch', '--last', '--frames', '1', '--json', '--broker', url], { cwd });
    expect(JSON.parse(kept.stdout)).toMatchObject({ frame: 'old' });
    const watch = new RunningCli(['watch', '--frames', '2', '--json', '--broker', url], { cwd });
    const stop = new AbortController();
    // Nothing tells when another process has subscribed, so results are published until it has enough.
    const publishing = (async () => {
      for (let n = 0; !stop.signal.aborted; n++) {
        await bus.publish(
          names.result('front', 'scenes'),
          JSON.stringify({ ...result(`new-${n}`, 'dog'), future: 1 }),
          { qos: 1 },
        );
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    const { code, stdout } = await watch.ended();
    stop.abort();
    await publishing;
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as ResultObject & { future: number });
    expect(code).toBe(0);
    expect(lines).toHaveLength(2);
    expect(lines.every(({ frame, future }) => frame.startsWith('new-') && future === 1)).toBe(true);
  });
});

describe('tessera nodes', () => {
  const info = (id: string): NodeInfo => ({
    v: 1,
    id,
    session: 's',
    boot_id: 'b',
    version: '0.1.0',
    wire: [1, 1],
    tier: 'edge',
    hardware: 'Raspberry Pi 4',
    arch: 'arm64',
    os: 'linux',
    cores: 4,
    memory_mb: 4000,
    runtime: 'onnxruntime 1.30.0',
    codecs: ['raw'],
    splits: ['whole', 'tiles'],
    features: [],
    max_message: 1_000_000,
    session_memory_mb: 1000,
    models: [{ name: 'scenes', sha256: '0'.repeat(64) }],
  });
  const beat: Heartbeat = {
    v: 1,
    cpu_percent: 41.6,
    load_average: [1, 1, 1],
    memory_percent: 20,
    memory_used_mb: 800,
    rss_mb: 120,
    temp_c: null,
    throttled: '0x0',
    queue: 0,
    tiles_per_s: 3.25,
    loop_delay_ms: 1,
    uptime_sec: 60,
  };

  async function announce(id: string, status: 'online' | 'offline'): Promise<void> {
    await bus.publish(names.nodeStatus(id), status, { qos: 1, retain: true });
    await bus.publish(names.nodeInfo(id), JSON.stringify(info(id)), { qos: 1, retain: true });
  }

  it('shows online nodes with their last heartbeat, offline nodes, and that no central is active', async () => {
    await announce('pi-1', 'online');
    await announce('pi-2', 'offline');
    const beating = setInterval(() => void bus.publish(names.heartbeat('pi-1'), JSON.stringify(beat)), 50);
    const { code, stdout, stderr } = await runCli(['nodes', '--broker', url], { cwd });
    clearInterval(beating);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^pi-1 +online +0\.1\.0 +edge +Raspberry Pi 4 \(4 cores\) +42 +20 +120 +- +0 +3\.3 +scenes$/m,
    );
    expect(stdout).toMatch(/^pi-2 +offline/m);
    expect(stderr).toMatch(/no central is online/);
  });

  it('forgets a node that is gone, not one that is online', async () => {
    await announce('pi-1', 'online');
    await announce('pi-2', 'offline');
    expect(await runCli(['nodes', 'forget', 'pi-2', '--broker', url], { cwd })).toMatchObject({ code: 0 });
    expect((await runCli(['nodes', 'forget', 'pi-1', '--broker', url], { cwd })).stderr).toMatch(/node pi-1 is online/);
    expect((await runCli(['nodes', 'forget', 'pi-9', '--broker', url], { cwd })).stderr).toMatch(/hint: it knows pi-1/);
    const { stdout } = await runCli(['nodes', '--json', '--broker', url], { cwd });
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { id: string }).id),
    ).toEqual(['pi-1']);
  });
});
