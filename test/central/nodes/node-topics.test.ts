import { beforeEach, describe, expect, it } from 'vitest';
import type { UntimedEvent } from '../../../central/coordinator/events.ts';
import { NodeAnswers, takeAnswers } from '../../../central/nodes/node-answers.ts';
import { NodeTopics } from '../../../central/nodes/node-topics.ts';
import type { NodeInfo } from '../../../shared/protocol/messages/node.ts';
import type { ResultMessage } from '../../../shared/protocol/messages/work.ts';
import { topics as topicsOf } from '../../../shared/protocol/topics.ts';
import { encode } from '../../../shared/runtime/cbor.ts';
import { Wire } from '../../../shared/runtime/wire.ts';
import { examplesOf } from '../../support/examples.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';
import { noMeasurements } from '../../support/no-measurements.ts';
import { type RecordingLog, recordingLog } from '../../support/recording-log.ts';

const topics = topicsOf();
const example = <T>(schema: string) => examplesOf('docs/protocol.md').find((one) => one.schema === schema)!.value as T;
const info = example<NodeInfo>('info');
const result = example<ResultMessage>('work-result');

let broker: MemoryBroker;
let events: UntimedEvent[];
let log: RecordingLog;
let wire: Wire;
let nodes: NodeTopics;
beforeEach(async () => {
  broker = new MemoryBroker();
  events = [];
  log = recordingLog();
  const bus = broker.bus();
  wire = new Wire({ bus, topics, self: 'central', log, now: () => performance.now() });
  nodes = new NodeTopics({ bus, topics, log });
  const tell = (event: UntimedEvent): void => void events.push(event);
  const answers = new NodeAnswers({ tell, keep: () => 'handle', measurements: noMeasurements });
  takeAnswers({
    wire,
    answers,
    registry: nodes.registry,
    tell,
    isAwaited: () => true,
    isOrdered: () => true,
    unused: () => 0,
  });
  await nodes.start();
  nodes.follow({ tell, epoch: 1763650000, onCodecs: () => {}, onPlans: () => {} });
  await wire.start();
});

const as = (node: string) => new Wire({ bus: broker.bus(), topics, self: node, log, now: () => performance.now() });
const online = async (node: string): Promise<void> => {
  await broker.publish(topics.nodeInfo(node), JSON.stringify({ ...info, id: node }));
  await broker.publish(topics.nodeStatus(node), 'online');
};

describe('messages of nodes', () => {
  it('considers a node offline only if its status says so, or else any wrong message takes its tiles away', async () => {
    await online('pi-1');
    for (const text of ['ONLINE', 'null', '{}', 'off', '\u0000']) await broker.publish(topics.nodeStatus('pi-1'), text);
    expect(events.map(({ type }) => type)).toEqual(['node-online']);
    await broker.publish(topics.nodeStatus('pi-1'), 'offline');
    expect(events.at(-1)).toEqual({ type: 'node-offline', node: 'pi-1' });
  });

  it.each([
    ['no JSON', 'tessera'],
    ['nested', '['.repeat(60_000)],
    ['of another shape', '{"v":1}'],
    ['too long', ' '.repeat(70_000)],
    ['with a size that is no number', JSON.stringify({ ...info, memory_mb: 'much' })],
    ['with a size that no number holds', JSON.stringify(info).replace('"memory_mb":3977', '"memory_mb":1e999')],
  ])('an info that is %s changes nothing and is logged once', async (_what, text) => {
    await broker.publish(topics.nodeStatus('pi-1'), 'online');
    for (let k = 0; k < 50; k++) await broker.publish(topics.nodeInfo('pi-1'), text);
    expect(events).toEqual([]);
    expect(log.lines.length).toBeLessThanOrEqual(1);
    await broker.publish(topics.nodeInfo('pi-1'), JSON.stringify(info));
    expect(events.map(({ type }) => type)).toEqual(['node-online']);
  });

  it('accepts "ready" only from the current run of a node: what an earlier run had loaded is gone', async () => {
    await online('pi-1');
    const ready = (boot_id: string) => ({ v: 1, type: 'ready', plan: 'p-1', boot_id });
    await as('pi-1').send('central', 'control', ready('a run before'));
    expect(events.map(({ type }) => type)).toEqual(['node-online']);
    await as('pi-1').send('central', 'control', ready(info.boot_id));
    expect(events.at(-1)).toEqual({ type: 'node-ready', node: 'pi-1', plan: 'p-1' });
  });

  it('counts each part of a large result as a heartbeat, as heartbeats wait behind it on a slow link', async () => {
    await online('pi-1');
    const [tile] = result.tiles;
    const out = 'out' in tile! ? tile.out.map((region) => ({ ...region, d: new Uint8Array(1_000_000) })) : [];
    await as('pi-1').send('central', 'result', { ...result, tiles: [{ ...tile, out }] });
    const types = events.map(({ type }) => type);
    expect(types.filter((type) => type === 'heartbeat')).toHaveLength(3);
  });

  it('ignores results on the wire in the name of central, whose own executor does not use the wire', async () => {
    await as('central').send('central', 'result', result);
    await as('central').send('central', 'control', { v: 1, type: 'ready', plan: result.plan, boot_id: 'b' });
    expect(events).toEqual([]);
    await as('pi-1').send('central', 'result', result);
    expect(events.map(({ type }) => type)).toEqual(['part-result', 'part-error']);
  });

  it('remembers a bounded number of nodes, and real ones displace made-up names', async () => {
    for (let k = 0; k < 3000; k++) {
      await broker.publish(topics.nodeInfo(`x-${k}`), JSON.stringify(info));
      await broker.publish(topics.nodeStatus(`y-${k}`), 'online');
    }
    await online('pi-1');
    expect(events.map(({ type }) => type)).toEqual(['node-online']);
    for (let k = 0; k < 1100; k++) await online(`z-${k}`);
    expect(events.length).toBe(1024);
  });

  it('handles the last message of a node that publishes its state a thousand times, not all of them', async () => {
    await broker.publish(topics.nodeInfo('pi-1'), JSON.stringify({ ...info, id: 'pi-1' }));
    for (let k = 0; k < 2000; k++) await broker.publish(topics.nodeStatus('pi-1'), k % 2 === 0 ? 'online' : 'offline');
    expect(events.length).toBeLessThan(150);
    await expect.poll(() => events.at(-1)?.type, { timeout: 5000 }).toBe('node-offline');
    expect(log.lines.filter((line) => line.includes('faster'))).toHaveLength(1);
    await broker.publish(topics.nodeStatus('pi-2'), 'online');
    await broker.publish(topics.nodeInfo('pi-2'), JSON.stringify({ ...info, id: 'pi-2' }));
    expect(events.at(-1)).toMatchObject({ type: 'node-online', node: 'pi-2' });
  });

  it('reads a few heartbeats per second of each node, however many arrive', async () => {
    await online('pi-1');
    const beat = JSON.stringify(example<object>('heartbeat'));
    for (let k = 0; k < 1000; k++) await broker.publish(topics.heartbeat('pi-1'), beat);
    expect(events.filter(({ type }) => type === 'heartbeat').length).toBeLessThan(50);
    await online('pi-2');
    await broker.publish(topics.heartbeat('pi-2'), beat);
    expect(events.at(-1)).toEqual({ type: 'heartbeat', node: 'pi-2' });
  });

  it('reads no heartbeat of more than 4096 bytes, logs that once, and goes on reading smaller ones', async () => {
    await online('pi-1');
    const beat = example<object>('heartbeat');
    const large = JSON.stringify({ ...beat, pad: 'x'.repeat(4096) });
    for (let k = 0; k < 1000; k++) await broker.publish(topics.heartbeat('pi-1'), large);
    expect(events.filter(({ type }) => type === 'heartbeat')).toEqual([]);
    expect(log.lines.filter((line) => line.includes('4096 bytes'))).toHaveLength(1);
    await broker.publish(topics.heartbeat('pi-1'), JSON.stringify(beat));
    expect(events.at(-1)).toEqual({ type: 'heartbeat', node: 'pi-1' });
  });

  it('counts parts as heartbeats a few times per second only, or else thousands of them cost too much time', async () => {
    const part = (m: number) => encode({ v: 1, m: `m-${m}`, part: [0, 2], d: new Uint8Array(10) });
    for (let k = 0; k < 1000; k++) await broker.publish(topics.wire('central', 'result', 'pi-1'), part(k));
    const beats = events.filter(({ type }) => type === 'heartbeat').length;
    expect(beats).toBeGreaterThan(0);
    expect(beats).toBeLessThan(50);
  });

  it('logs a heartbeat that cannot be read, or else a node with a defect only looks silent', async () => {
    await online('pi-1');
    const beat = example<object>('heartbeat');
    for (const wrong of [{ queue: -1 }, { tiles_per_s: 'many' }, { epoch: 1.5 }])
      await broker.publish(topics.heartbeat('pi-1'), JSON.stringify({ ...beat, ...wrong }));
    expect(events.filter(({ type }) => type === 'heartbeat')).toEqual([]);
    expect(log.lines.filter((line) => line.includes('queue'))).toHaveLength(1);
  });
});
