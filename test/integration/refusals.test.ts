import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { FrameClient } from '../../cli/frames.ts';
import { type Agent, startAgent } from '../../node-agent/agent.ts';
import { parseCard } from '../../shared/model/card.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { heartbeat, nodeEvent } from '../../shared/protocol/messages/node.ts';
import { topics as topicsOf } from '../../shared/protocol/topics.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { frontCluster } from '../support/front-cluster.ts';
import { inbox } from '../support/inbox.ts';
import { type RecordingLog, recordingLog } from '../support/recording-log.ts';
import { tinyInput, tinyNetwork } from '../support/tiny-network.ts';

/**
 * Nodes that cannot run a plan report it within the first second; a user who waits a minute looks for another fault.
 */

const topics = topicsOf('tessera');
const { dtype, shape, data } = tinyInput();
const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d: data };
/** A segment of the tiny network takes about 2 MB. */
const TOO_LITTLE_MB = 1;

let folder: string;
let log: RecordingLog;
let cluster: Cluster;
let bus: Bus;
let plan: CompiledPlan;
let agents: Agent[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tessera-refusals-'));
  log = recordingLog();
  agents = [];
  cluster = await frontCluster(folder, { log });
  bus = await connectBus({ ...cluster.bus, clientId: 'test', log: silentLog });
  const card = parseCard({ name: 'tiny', task: 'raw' }, 'tiny');
  const request = { name: 'tiny', card, labels: [], model: tinyNetwork(), picture: false };
  plan = choosePlan(await cluster.central.load(request), { nodeCount: 2, grid: { rows: 1, cols: 2 } });
});
afterEach(async () => {
  await Promise.all(agents.map((agent) => agent.stop()));
  await bus.stop();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

async function node(id: string, sessionMemoryMb: number, trustedKeys: string[] = []): Promise<Agent> {
  const stateDir = join(folder, id);
  const own = { tier: 'edge', threads: 1, base: 'tessera', log: silentLog } as const;
  const agent = await startAgent({ ...own, bus: cluster.bus, id, sessionMemoryMb, trustedKeys, stateDir });
  agents.push(agent);
  return agent;
}

async function send() {
  const camera = new FrameClient(bus, topics, 'front');
  await camera.start();
  return (await camera.send(`f-${Math.random()}`, frame, 60_000, 'tiny')).result;
}

test('all nodes refuse: that is logged at once with the reason, and results say that central computes', async () => {
  await Promise.all([node('a', TOO_LITTLE_MB), node('b', TOO_LITTLE_MB)]);
  await cluster.central.offerPlan('tiny', plan);
  const waiting = untilReady(cluster, plan.plan, 2, 600_000);
  await expect(waiting).rejects.toMatchObject({
    code: 'TESSERA_NO_NODES',
    message: expect.stringMatching(/all 2 nodes refuse: a part of the model needs about .* MB .*Raise node.memory_mb/),
  });
  const result = await send();
  expect(result).toMatchObject({ status: 'ok', nodes: ['central'], fallback: { reason: 'refused' } });
  expect(result.fallback!.text).toMatch(/all 2 nodes refuse: a part of the model needs/);
  const line = await log.line(/stand-ins compute/);
  expect(line).toMatch(/^warn model tiny: stand-ins compute parts that other nodes should compute: all 2 nodes refuse/);
  await send();
  expect(log.lines.filter((each) => /stand-ins compute/.test(each))).toEqual([line]);
}, 60_000);

test('some refuse: the others work, and a line names the refusing node and its reason', async () => {
  await Promise.all([node('a', 500), node('b', TOO_LITTLE_MB), node('c', 500, ['ed25519:other'])]);
  await cluster.central.offerPlan('tiny', plan);
  await untilReady(cluster, plan.plan, 3, 600_000);
  const line = await log.line(/1 of 3 nodes ready/);
  expect(line).toMatch(/^warn model tiny: 1 of 3 nodes ready; b refuses: a part of the model needs .*; c refuses: /);
  const result = await send();
  expect(result).toMatchObject({ status: 'ok', nodes: ['a'] });
  expect(result.fallback).toBeUndefined();
}, 60_000);

test('nodes publish the state of their plans, and central their events', async () => {
  const beats = await inbox(bus, topics.heartbeat('a'), 0);
  const refusing = await inbox(bus, topics.heartbeat('b'), 0);
  const events = await inbox(bus, topics.nodeEventAll);
  const [a] = await Promise.all([node('a', 500), node('b', TOO_LITTLE_MB)]);
  await cluster.central.offerPlan('tiny', plan);
  const plansOf = async (from: typeof beats, state: string) => {
    for (;;) {
      const { plans = [] } = heartbeat.parse(JSON.parse(await from.text()));
      const found = plans.find((one) => one.state === state);
      if (found !== undefined) return found;
    }
  };
  expect(await plansOf(beats, 'ready')).toEqual({ id: plan.plan.id, model: 'tiny', state: 'ready' });
  expect((await plansOf(refusing, 'refused')).text).toMatch(/a part of the model needs/);
  await a.stop();
  const seen: string[] = [];
  while (!seen.includes('a offline')) {
    const { node: id, event } = nodeEvent.parse(JSON.parse(await events.text()));
    seen.push(`${id} ${event}`);
  }
  expect(seen).toEqual(expect.arrayContaining(['a online', 'b online', 'a ready', 'b refused', 'a offline']));
  await log.line(/^warn node a is offline/);
}, 60_000);
