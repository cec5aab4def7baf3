import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { createWebSocketStream, WebSocket } from 'ws';
import { connectPacket, publishPacket, subscribePacket } from '../../bench/testbed/raw-mqtt.ts';
import { startBroker } from '../../broker/broker.ts';
import type { BrokerOptions, RunningBroker } from '../../broker/broker-options.ts';
import type { Identity } from '../../broker/policy.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus, connectBusOver } from '../../shared/runtime/mqtt.ts';
import { inbox } from '../support/inbox.ts';
import { type RecordingLog, recordingLog } from '../support/recording-log.ts';

// Lost if these fail: one broken, greedy, frozen or hostile client stops the whole cluster.

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const USERS: Record<string, Identity> = {
  'pi-1': { role: 'node', name: 'pi-1' },
  'pi-2': { role: 'node', name: 'pi-2' },
  'viewer-anna': { role: 'viewer', name: 'anna' },
  central: { role: 'central', name: 'central' },
};
const credentials = { verify: (user: string, password: string) => (password === 'right' ? USERS[user] : undefined) };

async function broker(
  options: Partial<BrokerOptions> = {},
): Promise<{ broker: RunningBroker; log: RecordingLog; url: string }> {
  const log = recordingLog();
  const running = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log, ...options });
  stops.push(() => running.stop());
  return { broker: running, log, url: running.urls[0]! };
}

async function bus(url: string, clientId: string, more: Partial<BusOptions> = {}): Promise<Bus> {
  const made = await connectBus({ url, clientId, log: silentLog, protocolVersion: 4, ...more });
  stops.push(() => made.stop());
  return made;
}

const as = (user: string, password = 'right') => ({ user, password });

/** A plain socket that has sent the given bytes and read the broker's first answer. */
async function raw(url: string, ...packets: Uint8Array[]): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  stops.push(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  for (const packet of packets) {
    socket.write(packet);
    await once(socket, 'data');
  }
  return socket;
}

describe('packets above the limit', () => {
  it("close only their sender's connection, from their first bytes on", async () => {
    const { broker: running, log, url } = await broker({ maximumPacketSize: 100_000 });
    const other = await bus(url, 'other');
    const seen = await inbox(other, 'tessera/#');
    const greedy = await raw(url, connectPacket('greedy'));
    const closed = once(greedy, 'close');
    // The header announces 200 kB, of which hardly anything is sent.
    greedy.write(publishPacket('tessera/input/a', new Uint8Array(200_000)).subarray(0, 100));
    await closed;
    expect(await log.line(/a packet of 200021 bytes, the limit is 100000/)).toContain('127.0.0.1');
    expect(running.counters.refused.packets).toBe(1);
    await other.publish('tessera/x', 'still here', { qos: 1 });
    expect(await seen.text()).toBe('still here');
  });

  it('are not resent for ever by a bus', async () => {
    const { broker: running, url } = await broker({ maximumPacketSize: 10_000 });
    const greedy = await bus(url, 'greedy');
    await expect(greedy.publish('tessera/x', new Uint8Array(20_000), { qos: 1 })).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
      hint: expect.stringContaining('larger than the broker accepts'),
    });
    expect(running.counters.refused.packets).toBe(3);
  });

  it('are not sent at all by a bus that knows the limit', async () => {
    const { broker: running, url } = await broker({ maximumPacketSize: 10_000 });
    const careful = await bus(url, 'careful', { maximumPacketBytes: 10_000 });
    await expect(careful.publish('tessera/x', new Uint8Array(9_990))).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await careful.publish('tessera/x', new Uint8Array(9_900), { qos: 1 });
    expect(running.counters.refused.packets).toBe(0);
  });

  it('have a smaller limit before authentication', async () => {
    const { log, url } = await broker();
    const stranger = await raw(url);
    stranger.write(connectPacket('x'.repeat(65_535)).subarray(0, 10));
    expect(await log.line(/the limit is 65536/)).toContain('warn');
  });
});

describe('readers that do not read', () => {
  const BULK = 'tessera/input/front';

  it('slow no other client down, lose bulk messages, and are disconnected', async () => {
    const { broker: running, log, url } = await broker({ stallMs: 400, slowReaderBytes: 2 ** 20 });
    const frozen = await raw(url, connectPacket('frozen'), subscribePacket('tessera/#'));
    frozen.pause();
    const [camera, central] = [await bus(url, 'camera'), await bus(url, 'central')];
    const seen = await inbox(central, BULK, 0);
    const frame = new Uint8Array(200_000);
    const times: number[] = [];
    for (let k = 0; k < 100; k++) {
      const from = performance.now();
      await camera.publish(BULK, frame);
      await seen.next();
      times.push(performance.now() - from);
    }
    expect(seen.received).toHaveLength(100);
    expect(Math.max(...times)).toBeLessThan(1000);
    expect(await log.line(/the client does not read/)).toContain('127.0.0.1');
    expect(running.counters.dropped.slow_readers).toBeGreaterThan(0);
    expect(running.counters.closed.slow_readers).toBe(1);
  });

  it('do not delay small messages either', async () => {
    const { broker: running, url } = await broker({ stallMs: 60_000 });
    const frozen = await raw(url, connectPacket('frozen'), subscribePacket('tessera/#'));
    frozen.pause();
    const [sender, reader] = [await bus(url, 'sender'), await bus(url, 'reader')];
    const seen = await inbox(reader, 'tessera/input/front', 0);
    // Enough to fill the kernel's buffers, then many times the broker's delivery slots, to both readers.
    for (let k = 0; k < 40; k++) await sender.publish('tessera/input/front', new Uint8Array(200_000));
    for (let k = 0; k < 8000; k++) await sender.publish('tessera/input/front', new Uint8Array(100));
    for (let k = 0; k < 8040; k++) await seen.next();
    expect(running.counters.dropped.slow_readers).toBe(0);
    expect(running.counters.connections).toBe(3);
  });

  it('are distinguished from slow readers', async () => {
    const { broker: running, url } = await broker({ stallMs: 1000, slowReaderBytes: 64 * 2 ** 20 });
    const slow = await raw(url, connectPacket('slow'), subscribePacket('tessera/#'));
    slow.pause();
    const sender = await bus(url, 'sender');
    for (let k = 0; k < 60; k++) await sender.publish('tessera/input/front', new Uint8Array(200_000));
    const total = 60 * (200_000 + 25);
    let bytes = 0;
    // About 5 MB a second: the backlog outlasts `stallMs`, but always shrinks.
    while (bytes < total && !slow.destroyed) {
      bytes += (slow.read() as Buffer | null)?.length ?? 0;
      await sleep(10);
    }
    expect(bytes).toBe(total);
    expect(running.counters.closed.slow_readers).toBe(0);
  });
});

describe('a message that takes longer in the broker', () => {
  it('is delivered although another one overtakes it, and once where two filters match', async () => {
    const { url } = await broker();
    const other = await bus(url, 'other');
    const seen = await inbox(other, 'tessera/#');
    await other.subscribe('tessera/x/+', 1, () => {});
    const sender = await raw(url, connectPacket('sender'));
    for (let i = 0; i < 10; i++) {
      const [kept, plain] = [Buffer.from(`kept ${i}`), Buffer.from(`plain ${i}`)];
      sender.write(Buffer.concat([publishPacket('tessera/x/a', kept, true), publishPacket('tessera/x/b', plain)]));
    }
    const expected = Array.from({ length: 10 }, (_, i) => [`kept ${i}`, `plain ${i}`]).flat();
    const given: string[] = [];
    while (given.length < expected.length) given.push(await seen.text());
    expect(given.sort()).toEqual(expected.sort());
    await other.publish('tessera/end', 'end', { qos: 1 });
    expect(await seen.text()).toBe('end');
  });
});

describe('a client that connects', () => {
  const guarded = () => broker({ credentials, anonymous: 'never' });

  it('is asked for a password, with a hint', async () => {
    const { broker: running, url } = await guarded();
    await expect(bus(url, 'a')).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
      message: expect.stringContaining('does not authorise'),
      hint: expect.stringContaining('--password-file'),
    });
    await expect(bus(url, 'a', as('pi-1', 'wrong'))).rejects.toMatchObject({
      message: expect.stringContaining('password is wrong'),
    });
    await bus(url, 'a', as('pi-1'));
    expect(running.counters.refused.connections).toBe(2);
  });

  it('is refused with a wrong password, also where it waits for the broker', async () => {
    const { url } = await guarded();
    await expect(bus(url, 'a', { ...as('pi-1', 'wrong'), patient: true })).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
    });
  });

  it('may do only what its role allows', async () => {
    const { log, url } = await guarded();
    const central = await bus(url, 'tessera-central', as('central'));
    const seen = await inbox(central, 'tessera-wire/1/central/#');
    const node = await bus(url, 'tessera-node-pi-1', as('pi-1'));
    await expect(node.subscribe('tessera-wire/1/pi-2/#', 0, () => {})).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
    });
    await expect(node.subscribe('tessera/#', 0, () => {})).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await node.publish('tessera-wire/1/central/control/pi-1', 'mine', { qos: 1 });
    expect(await seen.text()).toBe('mine');
    await node.publish('tessera-wire/1/central/control/pi-2', 'forged');
    expect(await log.line(/a connection was closed: no right to publish/)).toContain('node pi-1');
    const other = await bus(url, 'tessera-node-pi-2', as('pi-2'));
    await other.publish('tessera-wire/1/central/control/pi-2', 'genuine', { qos: 1 });
    expect(await seen.text()).toBe('genuine');
  });

  it('may leave a last will only by the same rules', async () => {
    const { log, url } = await guarded();
    const seen = await inbox(await bus(url, 'tessera-central', as('central')), 'tessera/node/#');
    const dying = async (topic: string) => {
      let socket: Socket | undefined;
      const openStream = () => {
        socket = connect(Number(new URL(url).port), '127.0.0.1');
        return socket;
      };
      const will = { topic, payload: 'offline', qos: 1, retain: true } as const;
      const made = await connectBusOver({
        openStream,
        clientId: 'x',
        log: silentLog,
        will,
        protocolVersion: 4,
        ...as('pi-1'),
      });
      socket!.destroy();
      void made.stop();
    };
    await dying('tessera/node/pi-2/status');
    await log.line(/no right to publish.*pi-2/);
    await dying('tessera/node/pi-1/status');
    expect((await seen.next()).topic).toBe('tessera/node/pi-1/status');
    expect(seen.received).toHaveLength(1);
  });

  it('cannot take over the client id of another user', async () => {
    const { log, url } = await guarded();
    const first = await bus(url, 'same', as('pi-1'));
    await expect(bus(url, 'same', as('pi-2'))).rejects.toMatchObject({ hint: expect.stringContaining('--id') });
    await log.line(/client id is in use by node pi-1/);
    expect(first.connected).toBe(true);
    await bus(url, 'same', as('pi-1'));
  });

  it('cannot leave retained wire messages', async () => {
    const { log, url } = await broker();
    const sender = await bus(url, 'sender');
    await sender.publish('tessera-wire/1/pi-1/control/central', 'stale', { retain: true });
    await log.line(/wire messages are not retained/);
    const reader = await bus(url, 'reader');
    const seen = await inbox(reader, 'tessera-wire/1/pi-1/#');
    await reader.publish('tessera-wire/1/pi-1/control/central', 'fresh', { qos: 1 });
    expect(await seen.text()).toBe('fresh');
  });

  it('cannot be a foreign web page, by whatever host name it connects', async () => {
    const { log, url } = await broker({ listen: ['ws://127.0.0.1:0'], allowedOrigins: ['https://dash.example'] });
    const { port } = new URL(url);
    const answer = async (origin: string | undefined, host?: string) => {
      const headers = host === undefined ? {} : { host };
      const socket = new WebSocket(url, ['mqtt'], origin === undefined ? { headers } : { headers, origin });
      const refused = once(socket, 'unexpected-response').then(([, response]) => response.statusCode as number);
      if ((await Promise.race([refused, once(socket, 'open').then(() => 0)])) !== 0) return refused;
      const stream = createWebSocketStream(socket);
      stream.write(connectPacket('page'));
      // Each part of the CONNACK may be a frame of its own.
      let answered = Buffer.alloc(0);
      for await (const chunk of stream) {
        answered = Buffer.concat([answered, chunk as Buffer]);
        if (answered.length >= 4) break;
      }
      return answered[3];
    };
    expect(await answer('https://evil.example')).toBe(403);
    expect(await log.line(/WebSocket was refused: a page from "https:\/\/evil\.example"/)).toContain('allowed_origins');
    expect(await answer(`http://evil.example:${port}`, `evil.example:${port}`)).toBe(403);
    expect(await answer(undefined, `evil.example:${port}`)).toBe(403);
    expect(await answer(undefined)).toBe(0);
    expect(await answer(url.replace('ws:', 'http:'))).toBe(0);
    expect(await answer('https://dash.example')).toBe(0);
  });

  it('is told that MQTT 5 is not supported', async () => {
    const { url } = await broker();
    await expect(bus(url, 'a', { protocolVersion: 5 })).rejects.toMatchObject({
      message: expect.stringContaining('does not speak this version'),
    });
  });

  it('is refused above the limit of connections', async () => {
    const { log, url } = await broker({ maximumConnections: 1 });
    await bus(url, 'a');
    await expect(bus(url, 'b')).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await log.line(/too many connections/);
  });
});

describe('startBroker', () => {
  it('refuses to listen beyond this machine without credentials, before it listens at all', async () => {
    for (const host of ['0.0.0.0', '[::]', '192.0.2.1']) {
      await expect(broker({ listen: ['mqtt://127.0.0.1:0', `mqtt://${host}:0`] })).rejects.toMatchObject({
        code: 'TESSERA_CONFIG',
        hint: expect.stringContaining('--listen'),
      });
    }
  });

  it('reports that a port is in use, and leaves nothing behind', async () => {
    const { url } = await broker();
    const log = recordingLog();
    await expect(
      startBroker({ listen: ['mqtt://127.0.0.1:0', url], anonymous: 'loopback', log }),
    ).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
      message: expect.stringContaining('already in use'),
      cause: { code: 'EADDRINUSE' },
    });
  });

  it('stops once, with clients connected, in bounded time', async () => {
    const { broker: running, url } = await broker();
    await bus(url, 'a');
    const frozen = await raw(url, connectPacket('frozen'), subscribePacket('tessera/#'));
    frozen.pause();
    const from = performance.now();
    const stopping = running.stop();
    expect(running.stop()).toBe(stopping);
    await stopping;
    expect(performance.now() - from).toBeLessThan(2000);
    expect(running.counters.connections).toBe(0);
  });
});

describe('TLS', () => {
  it('protects mqtts and wss, and an untrusted certificate is refused with a hint', async ({ skip }) => {
    const folder = await mkdtemp(join(tmpdir(), 'tessera-tls-'));
    stops.push(() => rm(folder, { recursive: true, force: true }));
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const how = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
    const whom = [
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
      '-keyout',
      keyFile,
      '-out',
      certFile,
    ];
    try {
      await promisify(execFile)('openssl', [...how, ...whom]);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') skip('openssl is not installed');
      throw error;
    }
    const [key, cert] = [await readFile(keyFile, 'utf8'), await readFile(certFile, 'utf8')];
    const { broker: running } = await broker({
      listen: ['mqtts://127.0.0.1:0', 'wss://127.0.0.1:0'],
      tls: { key, cert },
    });
    for (const url of running.urls) {
      const trusted = await bus(url, 'a', { ca: cert });
      const seen = await inbox(trusted, 'tessera/x');
      await trusted.publish('tessera/x', 'secret', { qos: 1 });
      expect(await seen.text()).toBe('secret');
      await expect(bus(url, 'b')).rejects.toMatchObject({
        message: expect.stringContaining('TLS failed'),
        hint: expect.stringContaining('mqtt.ca'),
      });
      await bus(url, 'c', { rejectUnauthorized: false });
    }
    const plain = running.urls[0]!.replace('mqtts', 'mqtt');
    await expect(bus(plain, 'd')).rejects.toMatchObject({ hint: expect.stringContaining('mqtts://') });
  });
});
