import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { connectPacket, publishPacketQos1, subscribePacket } from '../../bench/testbed/raw-mqtt.ts';
import { startBroker } from '../../broker/broker.ts';
import type { BrokerOptions, RunningBroker } from '../../broker/broker-options.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { inbox } from '../support/inbox.ts';
import { type RecordingLog, recordingLog } from '../support/recording-log.ts';

// Lost if these fail: an unauthenticated client shuts all others out, or fills the disk with log lines; or a client is
// disconnected again and again without a reason in the log.

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function broker(
  options: Partial<BrokerOptions> = {},
): Promise<{ broker: RunningBroker; log: RecordingLog; urls: readonly string[]; url: string }> {
  const log = recordingLog();
  const listen = ['mqtt://127.0.0.1:0', 'ws://127.0.0.1:0'];
  const running = await startBroker({ listen, anonymous: 'loopback', log, ...options });
  stops.push(() => running.stop());
  return { broker: running, log, urls: running.urls, url: running.urls[0]! };
}

async function bus(url: string, clientId: string, more: Partial<BusOptions> = {}): Promise<Bus> {
  const made = await connectBus({ url, clientId, log: silentLog, protocolVersion: 4, ...more });
  stops.push(() => made.stop());
  return made;
}

async function socketTo(url: string): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  stops.push(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

describe('a thousand connections that do not authenticate', () => {
  it.each([
    ['on a TCP listener', 0, () => undefined],
    ['on a WebSocket listener, with half a request', 1, (socket: Socket) => socket.write('GET / HTTP/1.1\r\nHost: ')],
    ['with half a CONNECT', 0, (socket: Socket) => socket.write(connectPacket('somebody').subarray(0, 9))],
  ] as const)('block no client, and disconnect none (%s)', async (_name, listener, speak) => {
    const { broker: running, log, urls } = await broker();
    const standing = await bus(urls[0]!, 'standing');
    const seen = await inbox(standing, 'tessera/x');
    const silent: Socket[] = [];
    for (let i = 0; i < 1000; i++) {
      const socket = await socketTo(urls[listener]!);
      speak(socket);
      silent.push(socket);
    }
    for (let i = 0; i < 32; i++) {
      const one = await bus(urls[i % 2]!, `legitimate-${i}`);
      await one.publish('tessera/x', `${i}`, { qos: 1 });
      expect(await seen.text()).toBe(`${i}`);
    }
    expect(standing.connected).toBe(true);
    expect(running.counters.closed.unauthenticated).toBeGreaterThan(900);
    expect(log.lines.filter((line) => line.includes('had waited longest')).length).toBe(1);
    for (const socket of silent) socket.destroy();
  });
});

describe('the log', () => {
  const credentials = { verify: () => undefined };

  it('has a line a minute for a refused client, whatever its name', async () => {
    const { broker: running, log, url } = await broker({ credentials, anonymous: 'never' });
    for (let i = 0; i < 300; i++) {
      const user = `\u001b[31m\n${i % 150}${'x'.repeat(50_000)}`;
      await expect(bus(url, `c${i % 150}`, { user, password: 'wrong' })).rejects.toMatchObject({
        code: 'TESSERA_BROKER',
      });
    }
    expect(running.counters.refused.connections).toBe(300);
    const lines = log.lines.filter((line) => line.startsWith('warn'));
    expect(lines.length).toBeLessThanOrEqual(100);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(500);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what is looked for.
    expect(lines.filter((line) => /[\u0000-\u001f]|\\u001b|\\n/.test(line))).toEqual([]);
  });

  it('has the reason when a client is disconnected for a topic or filter of too many levels', async () => {
    const { log, url } = await broker();
    const deep = `x${'/a'.repeat(200)}`;
    for (const packet of [publishPacketQos1(deep, Buffer.from('1'), 1), subscribePacket(deep)]) {
      const socket = await socketTo(url);
      socket.write(connectPacket(`deep-${packet[0]}`));
      await once(socket, 'data');
      const closed = once(socket, 'close');
      socket.write(packet);
      await closed;
      expect(await log.line(new RegExp(`more than 100 levels.*deep-${packet[0]}`))).toMatch(/^warn/);
    }
    const twenty = await bus(url, 'twenty');
    await twenty.publish(`x${'/a'.repeat(20)}`, '1', { qos: 1 });
  });

  it('has the reason of other disconnects, and nothing about connections that end by themselves', async () => {
    const { log, url } = await broker();
    const wrong: [string, Buffer, RegExp][] = [
      ['wildcard', publishPacketQos1('a/+/b', Buffer.from('1'), 1), /\+ is not allowed in PUBLISH/],
      ['nonsense', Buffer.from([0x00, 0x00]), /closed.*nonsense/],
    ];
    for (const [id, packet, pattern] of wrong) {
      const socket = await socketTo(url);
      socket.write(connectPacket(id));
      await once(socket, 'data');
      const closed = once(socket, 'close');
      socket.write(packet);
      await closed;
      expect(await log.line(pattern)).toMatch(/^warn/);
    }
    const before = log.lines.filter((line) => !line.startsWith('debug')).length;
    const socket = await socketTo(url);
    socket.write(connectPacket('fine'));
    await once(socket, 'data');
    socket.resetAndDestroy();
    await log.line(/client gone.*fine/);
    expect(log.lines.filter((line) => !line.startsWith('debug')).length).toBe(before);
  });

  it('reports once that a client speaks MQTT 5 only, and nothing about clients that fall back to 3.1.1', async () => {
    const { log, url } = await broker();
    const falls = await bus(url, 'falls-back', { protocolVersion: 'auto' });
    await expect(bus(url, 'only-5', { protocolVersion: 5 })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    expect(await log.line(/speaks MQTT 5 only.*only-5/)).toContain('3.1.1');
    expect(falls.connected).toBe(true);
    expect(log.lines.filter((line) => /MQTT 5 only/.test(line))).toHaveLength(1);
  }, 15_000);

  it('refuses a persistent session without a client id, as MQTT 3.1.1 demands (MQTT-3.1.3-8)', async () => {
    const { log, url } = await broker();
    const socket = await socketTo(url);
    socket.write(Uint8Array.from([0x10, 12, 0, 4, ...Buffer.from('MQTT'), 4, 0, 0, 0, 0, 0]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect([...answer]).toEqual([0x20, 2, 0, 2]);
    await log.line(/a session without a client id/);
  });
});
