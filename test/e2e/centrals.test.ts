import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { Deployment, eventually, kill, pictures, type TestBroker } from '../../bench/testbed/deployment.ts';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import { Relay } from '../../bench/testbed/relay.ts';
import type { RunningCli } from '../../bench/testbed/run-cli.ts';
import { type JournalEntry, parseJournal } from '../../central/journal/format.ts';
import { publishFrame } from '../../cli/frames.ts';
import type { Bus } from '../../shared/ports.ts';
import { type CentralStatus, centralStatus } from '../../shared/protocol/messages/central.ts';
import { type ResultObject, resultObject } from '../../shared/protocol/messages/result.ts';

/**
 * Central and broker fail: kill -9, freezes, on both brokers, every part its own process. If one of these fails, a
 * crash loses frames without a result, or two centrals answer the same cameras.
 */

const EVERY = { front: { keep: 'every', hold: 1 } };
const KINDS = ['embedded', 'mosquitto'] as const;
type Kind = (typeof KINDS)[number];

let frames: Uint8Array[];
beforeAll(async () => {
  frames = await pictures(5);
});

/** The world of one test: its own processes around its own broker, and every result that is published there. */
interface Scene {
  readonly deployment: Deployment;
  readonly broker: TestBroker;
  readonly bus: Bus;
  /** Each result once; `repeats`: frames of which an identical result came again. */
  readonly results: ResultObject[];
  readonly repeats: Set<string>;
}

async function openScene(kind: Kind, { onTestFinished, skip }: TestContext): Promise<Scene> {
  const deployment = await Deployment.create();
  onTestFinished(() => deployment.end());
  const broker = await deployment.broker(kind);
  if (broker === undefined) return skip(NO_MOSQUITTO);
  const bus = await deployment.connect(broker.url, 'test');
  const texts = new Set<string>();
  const results: ResultObject[] = [];
  const repeats = new Set<string>();
  await bus.subscribe(deployment.names.resultAll, 1, ({ payload, retained }) => {
    const text = Buffer.from(payload).toString();
    const result = resultObject.parse(JSON.parse(text));
    if (retained) return;
    if (texts.has(text)) repeats.add(result.frame);
    else results.push(result);
    texts.add(text);
  });
  return { deployment, broker, bus, results, repeats };
}

/** Publishes frames with ids of their own at a steady rate, QoS 1; returns the ids. */
async function film({ bus, deployment }: Scene, prefix: string, count: number, everyMs: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    const id = `${prefix}-${i}`;
    ids.push(id);
    const envelope = { v: 1, format: 'jpeg', d: frames[i % frames.length]! } as const;
    await publishFrame(bus, deployment.names, 'front', id, envelope);
    await pause(everyMs);
  }
  return ids;
}

const resultsOf = ({ results }: Scene, id: string): ResultObject[] => results.filter(({ frame }) => frame === id);

/** The outcome of a frame, once for each of its results. */
const endsOf = (scene: Scene, id: string): string[] =>
  resultsOf(scene, id).map(({ status, error }) => error?.code ?? status);

async function allEnd(scene: Scene, ids: readonly string[]): Promise<void> {
  const open = (): string[] => ids.filter((id) => endsOf(scene, id).length === 0);
  await eventually('an end of every frame', () => open().length === 0, 60_000).catch(() => {});
  expect(open()).toEqual([]);
}

/**
 * Counts of outcomes; `none` without a result. No frame may have two different results, except those of `corner` one
 * under each of two ids.
 */
function tally(scene: Scene, ids: readonly string[], corner: readonly string[] = []): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const id of ids) {
    const ends = endsOf(scene, id);
    expect(ends.length, `results of ${id}: ${ends.join(', ')}`).toBeLessThan(corner.includes(id) ? 3 : 2);
    const numbers = resultsOf(scene, id).map((result) => result.id);
    expect(new Set(numbers).size, `ids of ${id}: ${numbers.join(', ')}`).toBe(ends.length);
    counts[ends[0] ?? 'none'] = (counts[ends[0] ?? 'none'] ?? 0) + 1;
  }
  return counts;
}

async function withAgents({ deployment, broker }: Scene, count: number): Promise<void> {
  const agents = Array.from({ length: count }, (_, i) => deployment.agent(broker.url, `pi-${i + 1}`));
  await Promise.all(agents.map((agent) => agent.printed(/ready for plan/)));
}

/** A standby central with its own state. */
const standby = ({ deployment, broker }: Scene, id: string, url = broker.url): Promise<RunningCli> =>
  deployment.central(url, { cameras: EVERY, args: ['--standby', '--id', id], state: id });

/** `left` is active, `right` stands by, and an agent is ready. */
async function openStandby(scene: Scene): Promise<Record<'left' | 'right', RunningCli>> {
  const left = await standby(scene, 'left');
  await left.printed(/central is online/);
  const right = await standby(scene, 'right');
  await right.printed(/standing by .*central left is active/);
  await withAgents(scene, 1);
  return { left, right };
}

/** A central's journal entries of accepted frames. */
async function journaled({ deployment }: Scene, state: string): Promise<JournalEntry[]> {
  const folder = join(deployment.folder, state, 'journal');
  const files = (await readdir(folder)).filter((name) => /-\d$/.test(name));
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  return texts.flatMap(parseJournal);
}

/** Frames whose results were published and not acknowledged: only those may be published again. */
const underWay = (entries: readonly JournalEntry[]): string[] =>
  entries.filter(({ result }) => result !== undefined).map(({ frame }) => frame);

/**
 * The frame that was accepted last: when central dies or freezes before its PUBACK, the other one gets it too (decision
 * 10).
 */
const newest = (entries: readonly JournalEntry[]): string =>
  entries.reduce((last, entry) => (entry.acceptedAt >= last.acceptedAt ? entry : last)).frame;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

describe('central is killed while QoS 1 frames arrive', () => {
  test.concurrent.for(KINDS)(
    'after its restart every accepted frame has ended exactly once (%s)',
    async (kind, context) => {
      const scene = await openScene(kind, context);
      const { deployment, broker, results } = scene;
      const first = await deployment.central(broker.url, { cameras: EVERY });
      await first.printed(/central is online/);
      await withAgents(scene, 2);

      // Faster than the cluster, so that many frames are open and waiting when it dies.
      const filming = film(scene, 'f', 150, 4);
      await eventually('some results', () => results.length >= 10);
      await kill(first);
      const accepted = await journaled(scene, 'central');
      const ids = await filming;
      const since = performance.now();
      const second = await deployment.central(broker.url, { cameras: EVERY });
      await second.printed(/central is online/);
      const back = seconds(performance.now() - since);
      const late = await film(scene, 'late', 5, 20);

      await allEnd(scene, late);
      // The broker redelivers the others to the next central.
      await allEnd(scene, ids);
      const ends = tally(scene, ids);
      expect(Object.keys(ends).sort()).toEqual(
        expect.arrayContaining(['TESSERA_CENTRAL_RESTARTED', 'ok'].filter((end) => end in ends)),
      );
      expect(ends.TESSERA_CENTRAL_RESTARTED).toBeGreaterThan(0);
      expect(tally(scene, late)).toEqual({ ok: 5 });
      // The broker's retained results prove what it has: nothing is published again.
      expect([...scene.repeats]).toEqual([]);
      console.log(`${kind}: online again ${back} after its start; ${accepted.length} frames were accepted;`, ends);
    },
  );
});

describe('of two centrals', () => {
  test.concurrent.for(KINDS)(
    'one stands by, and follows within 10 s when the other is frozen or killed (%s)',
    async (kind, context) => {
      const scene = await openScene(kind, context);
      const { deployment, bus } = scene;
      const statuses: CentralStatus[] = [];
      await bus.subscribe(deployment.names.centralHeartbeatAll, 0, ({ payload }) => {
        statuses.push(centralStatus.parse(JSON.parse(Buffer.from(payload).toString())));
      });
      const { left, right } = await openStandby(scene);
      const before = await film(scene, 'before', 10, 40);
      await allEnd(scene, before);

      // Frozen: connected but silent. Frames continue to arrive meanwhile.
      const filming = film(scene, 'f', 250, 40);
      await pause(500);
      left.child.kill('SIGSTOP');
      const frozen = await journaled(scene, 'left');
      const frozenMs = await eventually('the other one is active', () =>
        statuses.some(({ id, state }) => id === 'right' && state === 'active'),
      );
      await right.printed(/central is online/);
      left.child.kill('SIGCONT');
      await left.printed(/standing by .*central right is active/);
      const corner = [newest(await journaled(scene, 'left'))];
      const heard = statuses.length;
      await kill(right);
      const killed = await journaled(scene, 'right');
      const killedMs = await eventually('the first one is active again', () =>
        statuses.slice(heard).some(({ id, state }) => id === 'left' && state === 'active'),
      );
      // It ends the frames that it had accepted, though it is only a standby now.
      const back = await standby(scene, 'right');
      await back.printed(/standing by .*central left is active/);
      const ids = await filming;
      const late = await film(scene, 'late', 5, 40);
      await allEnd(scene, late);

      expect(frozenMs).toBeLessThan(10_000);
      expect(killedMs).toBeLessThan(10_000);
      expect(tally(scene, late)).toEqual({ ok: 5 });
      await allEnd(scene, ids);
      const ends = tally(scene, ids, [...corner, newest(killed)]);
      expect(underWay([...frozen, ...killed])).toEqual(expect.arrayContaining([...scene.repeats]));
      console.log(
        `${kind}: frozen ${seconds(frozenMs)}, killed ${seconds(killedMs)};`,
        ends,
        `said again: ${scene.repeats.size}`,
      );
      // The active central announces its own epoch.
      const holders = new Map<number, Set<string>>();
      for (const { boot_id, state, epoch } of statuses)
        if (state === 'active') holders.set(epoch, (holders.get(epoch) ?? new Set()).add(boot_id));
      expect([...holders.values()].map(({ size }) => size)).toEqual([1, 1, 1]);
    },
  );

  test.concurrent.for(KINDS)(
    "one is stopped cleanly in the middle of frames: the frames that it had accepted end, the others are the other one's (%s)",
    async (kind, context) => {
      const scene = await openScene(kind, context);
      const { results } = scene;
      const { left, right } = await openStandby(scene);

      // Faster than the cluster, so that frames are waiting when it is stopped.
      const filming = film(scene, 'f', 200, 4);
      await eventually('some results', () => results.length >= 10);
      await left.stop();
      await right.printed(/central is online/);
      const ids = await filming;
      await allEnd(scene, ids);
      const ends = tally(scene, ids);
      const kept = await journaled(scene, 'left');
      expect(kept.filter(({ ended }) => !ended)).toEqual([]);
      expect([...scene.repeats]).toEqual([]);
      console.log(`${kind}: a clean stop with ${kept.length} frames accepted;`, ends);
    },
  );

  test.concurrent('one does not notice that the broker was restarted and lost its state: a new one takes over, no frame has two results', async (context) => {
    const scene = await openScene('embedded', context);
    const { broker } = scene;
    const relay = await Relay.open(broker.port);
    context.onTestFinished(() => relay.close());
    const left = await standby(scene, 'left', relay.url);
    await left.printed(/central is online/);
    await withAgents(scene, 1);
    await allEnd(scene, await film(scene, 'before', 10, 40));

    // Results of these are in flight when left's link goes silent.
    const filming = film(scene, 'f', 200, 40);
    await pause(300);
    relay.stall();
    await broker.kill();
    await broker.restart();
    const right = await standby(scene, 'right');
    await right.printed(/central is online/);
    relay.repair();
    await left.printed(/standing by .*central right is active/);
    // Its PUBACK may have been lost with the link.
    const corner = [newest(await journaled(scene, 'left'))];
    const ids = await filming;
    await allEnd(scene, await film(scene, 'late', 10, 40));
    const ends = tally(scene, ids, corner);
    expect(ends.ok).toBeGreaterThan(0);
    console.log('a broker that forgets, unseen:', ends);
  });

  test.concurrent('the second is refused without --standby; after a clean stop the next one needs less time than after a kill', async (context) => {
    const scene = await openScene('embedded', context);
    const { deployment, broker } = scene;
    const first = await deployment.central(broker.url, { args: ['--id', 'left'], state: 'left' });
    await first.printed(/central is online/);
    const second = await deployment.central(broker.url, { args: ['--id', 'right'], state: 'right' });
    const { code, stderr } = await second.ended();
    expect(code).toBe(1);
    expect(stderr).toMatch(/error TESSERA_CENTRAL_ACTIVE: central "left" is active .*\nhint: .*--standby/);
    const next = async (id: string, end: () => Promise<unknown>): Promise<[RunningCli, number]> => {
      const central = await standby(scene, id);
      await central.printed(/standing by/);
      await end();
      const since = performance.now();
      await central.printed(/central is online/);
      return [central, performance.now() - since];
    };
    const [third, afterGoodbye] = await next('right', () => first.stop());
    const [, afterKill] = await next('middle', async () => third.child.kill('SIGKILL'));
    expect(afterGoodbye).toBeLessThan(afterKill);
  });
});

describe('the broker is killed and loses its state', () => {
  test.concurrent.for(KINDS)('all reconnect, announce themselves, and frames continue (%s)', async (kind, context) => {
    const scene = await openScene(kind, context);
    const { deployment, broker, results } = scene;
    const { names } = deployment;
    const central = await deployment.central(broker.url, { cameras: EVERY });
    await central.printed(/central is online/);
    await withAgents(scene, 2);
    await allEnd(scene, await film(scene, 'before', 10, 40));

    await broker.kill();
    await pause(1000);
    await broker.restart();
    const since = performance.now();
    const ids = await film(scene, 'after', 60, 50);
    await eventually('a result', () => results.some(({ frame }) => frame.startsWith('after')), 60_000);
    const back = seconds(performance.now() - since);
    const late = await film(scene, 'late', 10, 40);
    await allEnd(scene, late);
    const ends = tally(scene, ids);
    expect(tally(scene, late)).toEqual({ ok: 10 });

    const nodes = ['pi-1', 'pi-2'];
    const expected = [
      names.status,
      names.plan('scenes'),
      names.label('front', 'scenes'),
      names.result('front', 'scenes'),
      names.cameraStatus('front'),
      ...nodes.flatMap((id) => [names.nodeStatus(id), names.nodeInfo(id)]),
    ];
    const retained = new Map<string, string>();
    const fresh = await deployment.connect(broker.url, 'fresh');
    await fresh.subscribe('tessera/#', 1, ({ topic, payload, retained: kept }) => {
      if (kept) retained.set(topic, Buffer.from(payload).toString());
    });
    await eventually('what is retained', () => expected.every((topic) => retained.has(topic))).catch(() => {});
    expect([...retained.keys()]).toEqual(expect.arrayContaining(expected));
    for (const topic of [names.status, ...nodes.map(names.nodeStatus)]) expect(retained.get(topic)).toBe('online');
    const centrals = [...retained].filter(([topic]) => /^tessera\/central\/.+\/status$/.test(topic));
    expect(centrals.map(([, text]) => JSON.parse(text).state)).toEqual(['active']);
    console.log(`${kind}: first result ${back} after the broker's restart;`, ends);
  });
});
