import { type EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import type { BrokerOptions } from '../../broker/broker-options.ts';
import { CLIENT_SESSION_LIMITS } from '../../broker/client-session.ts';
import { ClientSessionStore } from '../../broker/client-session-store.ts';
import type { Identity } from '../../broker/policy.ts';
import { joinPassword } from '../../shared/config/join.ts';
import { localBroker } from '../support/local-broker.ts';

// Lost if these fail: an app with a persistent session misses results that the broker promised to keep, gets messages
// of another user, or fills the broker's memory.

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const broker = (options: Partial<BrokerOptions> = {}) => localBroker(stops, options);

interface Client {
  readonly client: MqttClient;
  readonly present: boolean;
  readonly packets: IPublishPacket[];
  until(count: number): Promise<void>;
  texts(): string[];
}

async function connect(url: string, clientId: string, more: object = {}): Promise<Client> {
  const client = mqtt.connect(url, { clientId, clean: false, protocolVersion: 4, reconnectPeriod: 0, ...more });
  stops.push(() => client.end(true));
  const packets: IPublishPacket[] = [];
  let look = (): void => {};
  client.on('message', (_topic, _payload, packet) => {
    packets.push(packet);
    look();
  });
  const [connack] = (await once(client as unknown as EventEmitter, 'connect')) as [{ sessionPresent: boolean }];
  return {
    client,
    present: connack.sessionPresent,
    packets,
    texts: () => packets.map(({ payload }) => payload.toString()),
    until: (count) =>
      new Promise((resolve) => {
        look = () => {
          if (packets.length >= count) resolve();
        };
        look();
      }),
  };
}

const RESULT = 'tessera/result/front/scenes';
const say = async ({ client }: Client, count: number, topic = RESULT): Promise<string[]> => {
  const texts = Array.from({ length: count }, (_, i) => `${topic} ${i}`);
  for (const text of texts) await client.publishAsync(topic, text, { qos: 1 });
  return texts;
};

describe('a client with a persistent session', () => {
  it('finds its subscriptions again, and gets the QoS 1 messages of the meantime', async () => {
    const { url } = await broker();
    const central = await connect(url, 'sayer', { clean: true });
    const first = await connect(url, 'app');
    expect(first.present).toBe(false);
    await first.client.subscribeAsync('tessera/result/front/#', { qos: 1 });
    await first.client.endAsync();
    const texts = await say(central, 3);
    texts.push(...(await say(central, 3, `${RESULT}/label`)));
    await central.client.publishAsync(RESULT, 'QoS 0', { qos: 0 });
    const second = await connect(url, 'app');
    expect(second.present).toBe(true);
    await second.until(6);
    texts.push(...(await say(central, 2)));
    await second.until(8);
    expect(second.texts()).toEqual(texts);
    expect(second.packets.map(({ qos }) => qos)).toEqual(texts.map(() => 1));
    await second.client.endAsync();
    // All messages were acknowledged.
    const third = await connect(url, 'app');
    texts.splice(0, texts.length, ...(await say(central, 1)));
    await third.until(1);
    expect(third.texts()).toEqual(texts);
  });

  it('gets unacknowledged messages again, with DUP', async () => {
    const { url } = await broker();
    const central = await connect(url, 'sayer', { clean: true });
    const first = await connect(url, 'app');
    await first.client.subscribeAsync(RESULT, { qos: 1 });
    first.client.handleMessage = () => {};
    const texts = await say(central, 1);
    await first.until(1);
    first.client.stream.destroy();
    await once(first.client as unknown as EventEmitter, 'close');
    const second = await connect(url, 'app');
    await second.until(1);
    expect(second.texts()).toEqual(texts);
    expect(second.packets[0]?.dup).toBe(true);
  });

  it('ends it with a clean session', async () => {
    const { url } = await broker();
    const central = await connect(url, 'sayer', { clean: true });
    const first = await connect(url, 'app');
    await first.client.subscribeAsync(RESULT, { qos: 1 });
    await first.client.endAsync();
    await say(central, 3);
    const clean = await connect(url, 'app', { clean: true });
    expect(clean.present).toBe(false);
    await clean.client.endAsync();
    const again = await connect(url, 'app');
    expect(again.present).toBe(false);
    await again.client.subscribeAsync(RESULT, { qos: 1 });
    const texts = await say(central, 1);
    await again.until(1);
    expect(again.texts()).toEqual(texts);
  });
});

describe('the stored sessions', () => {
  it('are bounded, each and together: the oldest message is dropped, which is logged', async () => {
    const clientSessions = { ...CLIENT_SESSION_LIMITS, messages: 10, messageBytes: 10_000, bytes: 15_000 };
    const { broker: running, log, url } = await broker({ clientSessions });
    const central = await connect(url, 'sayer', { clean: true });
    for (const id of ['app-1', 'app-2']) {
      const app = await connect(url, id);
      await app.client.subscribeAsync(RESULT, { qos: 1 });
      await app.client.endAsync();
    }
    const texts = await say(central, 30);
    expect(await log.line(/messages for an absent client are dropped/)).toMatch(/^warn/);
    expect(running.counters.dropped.client_sessions).toBe(60 - 15);
    const had = [];
    for (const id of ['app-1', 'app-2']) {
      const app = await connect(url, id);
      await app.until(7);
      had.push(...app.texts());
    }
    expect(had.every((text) => texts.slice(20).includes(text))).toBe(true);
  });

  it('expire', async () => {
    const { log, url } = await broker({ clientSessions: { ...CLIENT_SESSION_LIMITS, ms: 50 } });
    const app = await connect(url, 'app');
    await app.client.subscribeAsync(RESULT, { qos: 1 });
    await app.client.endAsync();
    await log.line(/its session has ended/);
    expect((await connect(url, 'app')).present).toBe(false);
  });

  it('give way to a new one when their client has been offline longest; those of connected clients stay', async () => {
    const { log, url } = await broker({ clientSessions: { ...CLIENT_SESSION_LIMITS, sessions: 2 } });
    const open = async (id: string) => {
      const app = await connect(url, id);
      await app.client.subscribeAsync(RESULT, { qos: 1 });
      return app;
    };
    await (await open('one')).client.endAsync();
    const two = await open('two');
    const three = await open('three');
    await log.line(/another client needed its place.*one/);
    const four = await open('four');
    expect(await log.line(/a session is not persistent: all 2 places/)).toContain('four');
    for (const app of [two, three, four]) await app.client.endAsync();
    expect([(await connect(url, 'three')).present, (await connect(url, 'four')).present]).toEqual([true, false]);
  });

  it('are not used up by clients that disconnect while their password is checked', async () => {
    let check: (isGood: boolean) => void = () => {};
    let asked: () => void = () => {};
    const isAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const credentials = {
      verify: () => ({ role: 'viewer', name: 'anna' }) as const,
      // With an invitation, whose secret is written to the disk.
      redeem: () => {
        asked();
        return new Promise<boolean>((resolve) => {
          check = resolve;
        });
      },
    };
    const limits = { clientSessions: { ...CLIENT_SESSION_LIMITS, sessions: 1 }, maximumConnections: 2 };
    const { url } = await broker({ credentials, anonymous: 'never', ...limits });
    const anna = { username: 'viewer-anna', password: 'right' };
    const ghost = mqtt.connect(url, {
      clientId: 'ghost',
      clean: false,
      protocolVersion: 4,
      reconnectPeriod: 0,
      username: 'viewer-anna',
      password: joinPassword('a'.repeat(32), 'b'.repeat(32)),
    });
    stops.push(() => ghost.end(true));
    await isAsked;
    ghost.stream.destroy();
    await once(ghost as unknown as EventEmitter, 'close');
    // The broker has noticed that end when it has answered a later client.
    await (await connect(url, 'other', { ...anna, clean: true })).client.endAsync();
    check(true);
    const app = await connect(url, 'app', anna);
    await app.client.subscribeAsync(RESULT, { qos: 1 });
    await app.client.endAsync();
    expect((await connect(url, 'app', anna)).present).toBe(true);
  });

  it('belong to their user: another user cannot read one under the same client id, and a revocation ends it', async () => {
    const USERS: Record<string, Identity> = {
      'viewer-anna': { role: 'viewer', name: 'anna' },
      'camera-front': { role: 'camera', name: 'front' },
      central: { role: 'central', name: 'central' },
    };
    const credentials = {
      verify: (user: string, password: string) => (password === 'right' ? USERS[user] : undefined),
    };
    const { broker: running, url } = await broker({ credentials, anonymous: 'never' });
    const as = (username: string) => ({ username, password: 'right' });
    const central = await connect(url, 'sayer', { clean: true, ...as('central') });
    const leave = async () => {
      const anna = await connect(url, 'app', as('viewer-anna'));
      await anna.client.subscribeAsync('tessera/#', { qos: 1 });
      await anna.client.endAsync();
      await say(central, 2, 'tessera/stats');
    };
    await leave();
    const other = await connect(url, 'app', as('camera-front'));
    expect(other.present).toBe(false);
    await other.client.endAsync();
    expect((await connect(url, 'app', as('viewer-anna'))).present).toBe(false);
    await leave();
    running.expel('viewer-anna');
    expect((await connect(url, 'app', as('viewer-anna'))).present).toBe(false);
  });

  it('never hold messages that the client may not read, even where a filter also covers others', async () => {
    const USERS: Record<string, Identity> = {
      'camera-front': { role: 'camera', name: 'front' },
      central: { role: 'central', name: 'central' },
    };
    const credentials = { verify: (user: string) => USERS[user] };
    const { url } = await broker({ credentials, anonymous: 'never' });
    const as = (username: string) => ({ username, password: 'any' });
    const central = await connect(url, 'sayer', { clean: true, ...as('central') });
    const first = await connect(url, 'app', as('camera-front'));
    const asked = { 'tessera/result/side/#': { qos: 1 }, 'tessera/result/front/#': { qos: 1 } } as const;
    await first.client.subscribeAsync(asked).catch(() => {});
    await first.client.endAsync();
    await say(central, 2, 'tessera/result/side/scenes');
    const texts = await say(central, 1);
    const again = await connect(url, 'app', as('camera-front'));
    expect(again.present).toBe(true);
    await again.until(1);
    expect(again.texts()).toEqual(texts);
  });

  it('never hold frames or messages between nodes and central', async () => {
    const { url } = await broker();
    const central = await connect(url, 'sayer', { clean: true });
    const app = await connect(url, 'app');
    await app.client.subscribeAsync('#', { qos: 1 });
    await app.client.endAsync();
    for (const topic of [
      'tessera/input/front',
      'tessera-wire/1/pi-1/work/central',
      'tessera-wire/1/pi-1/control/central',
    ])
      await say(central, 2, topic);
    const texts = await say(central, 1);
    const again = await connect(url, 'app');
    await again.until(1);
    texts.push(...(await say(central, 1, 'tessera/input/front')));
    await again.until(2);
    expect(again.texts()).toEqual(texts);
  });
});

describe('a broker with a folder', () => {
  const restarted = async () => {
    const sessionsFolder = await mkdtemp(join(tmpdir(), 'tessera-sessions-'));
    stops.push(() => rm(sessionsFolder, { recursive: true, force: true }));
    const { broker: first, url } = await broker({ sessionsFolder });
    const again = async (meanwhile = () => {}) => {
      await first.stop();
      meanwhile();
      return broker({ sessionsFolder, listen: [url] });
    };
    return { url, sessionsFolder, again };
  };

  it('has every session after a restart, with queued messages and those published before the client reconnects', async () => {
    const { url, again } = await restarted();
    const app = await connect(url, 'app');
    await app.client.subscribeAsync(RESULT, { qos: 1 });
    // The client has received this, but does not acknowledge it.
    app.client.handleMessage = () => {};
    const central = await connect(url, 'sayer', { clean: true });
    const texts = await say(central, 2);
    await app.until(1);
    app.client.end(true);
    const { url: at } = await again();
    texts.push(...(await say(await connect(at, 'sayer', { clean: true }), 2)));
    const back = await connect(at, 'app');
    expect(back.present).toBe(true);
    await back.until(4);
    expect(back.texts()).toEqual(texts);
    expect(back.packets.map(({ dup }) => dup)).toEqual([true, expect.any(Boolean), false, false]);
    texts.push(...(await say(await connect(at, 'sayer', { clean: true }), 1)));
    await back.until(5);
    expect(back.texts()).toEqual(texts);
  });

  it('counts the time of a session while it is stopped', async () => {
    const { url, sessionsFolder, again } = await restarted();
    const { hostname, port } = new URL(url);
    const folder = join(sessionsFolder, 'sessions', `tessera-${hostname}-${port}`);
    const subscriptions = [{ topic: RESULT, qos: 1 }];
    const { url: at, log } = await again(() => {
      const { store } = ClientSessionStore.open(folder, CLIENT_SESSION_LIMITS, () => {})!;
      for (const [id, ago] of Object.entries({
        old: CLIENT_SESSION_LIMITS.ms,
        late: CLIENT_SESSION_LIMITS.ms - 500,
        fresh: 1000,
      }))
        store.begin().write({ id, owner: 'local', subscriptions, awaySince: Date.now() - ago });
      store.close();
    });
    expect(await log.line(/sessions of an earlier run/)).toMatch(/"?sessions"?[:=] ?2.*"?old"?[:=] ?1/);
    await log.line(/its session has ended.*late/);
    const present = [];
    for (const id of ['old', 'late', 'fresh']) present.push((await connect(at, id)).present);
    expect(present).toEqual([false, false, true]);
  });
});
