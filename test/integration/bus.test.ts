import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { startBroker } from '../../broker/broker.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { topics } from '../../shared/protocol/topics.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus, connectBusOver } from '../../shared/runtime/mqtt.ts';
import { Wire } from '../../shared/runtime/wire.ts';
import { z } from '../../shared/schema.ts';
import { inbox } from '../support/inbox.ts';

// Lost if these fail: Tessera runs with its own broker only, or loses its subscriptions when a broker restarts.

/** A broker that can be restarted at the same port; `url` is undefined where it has no sockets. */
interface Server {
  readonly url: string | undefined;
  openStream?: () => Duplex;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

async function aedes(scheme: 'mqtt' | 'ws' | undefined): Promise<Server> {
  const start = (listen: string[]) => startBroker({ listen, anonymous: 'loopback', log: silentLog });
  let broker = await start(scheme === undefined ? [] : [`${scheme}://127.0.0.1:0`]);
  const url = broker.urls[0];
  return {
    url,
    ...(url === undefined && { openStream: () => broker.connect() }),
    async restart() {
      await broker.stop();
      broker = await start(url === undefined ? [] : [url]);
    },
    stop: () => broker.stop(),
  };
}

async function mosquitto(): Promise<Server | undefined> {
  let broker = await startMosquitto();
  if (broker === undefined) return undefined;
  const { url, port } = broker;
  return {
    url,
    async restart() {
      await broker?.stop();
      broker = await startMosquitto({ port });
    },
    stop: async () => broker?.stop(),
  };
}

const SERVERS: [name: string, start: () => Promise<Server | undefined>][] = [
  ['the embedded broker over TCP', () => aedes('mqtt')],
  ['the embedded broker over WebSocket', () => aedes('ws')],
  ['the embedded broker without sockets', () => aedes(undefined)],
  ['Mosquitto', mosquitto],
];

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function busTo(server: Server, clientId: string, more: Partial<BusOptions> = {}): Promise<Bus> {
  const options = { clientId, log: silentLog, ...more };
  const { url, openStream } = server;
  const bus =
    url === undefined
      ? await connectBusOver({ ...options, openStream: openStream! })
      : await connectBus({ ...options, url });
  stops.push(() => bus.stop());
  return bus;
}

describe.each(SERVERS)('a bus on %s', (name, start) => {
  const test = (what: string, run: (server: Server) => Promise<void>) =>
    it(what, async ({ skip }) => {
      const server = await start();
      if (server === undefined) return skip(NO_MOSQUITTO);
      stops.push(() => server.stop());
      await run(server);
    });

  test('delivers text and bytes, and marks retained messages', async (server) => {
    const [a, b] = [await busTo(server, 'a'), await busTo(server, 'b')];
    const own = await inbox(a, 'tessera/status');
    await a.publish('tessera/status', 'online', { qos: 1, retain: true });
    // The embedded broker acknowledges before it routes: only a delivery proves that the message is retained.
    expect(await own.next()).toMatchObject({ retained: false });
    const seen = await inbox(b, 'tessera/#');
    const kept = { topic: 'tessera/status', payload: new TextEncoder().encode('online'), retained: true };
    expect(await seen.next()).toEqual(kept);
    await a.publish('tessera/status', Uint8Array.of(0, 255), { qos: 1, retain: true });
    expect(await seen.next()).toMatchObject({ payload: Uint8Array.of(0, 255), retained: false });
  });

  test('carries a trace context where the broker has MQTT 5', async (server) => {
    const bus = await busTo(server, 'a');
    const seen = await inbox(bus, 'tessera/#');
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    await bus.publish('tessera/input/front', 'x', { qos: 1, traceparent });
    expect((await seen.next()).traceparent).toBe(name === 'Mosquitto' ? traceparent : undefined);
  });

  test('delivers a message to every matching subscription, until it ends', async (server) => {
    const bus = await busTo(server, 'a');
    const one = await inbox(bus, 'tessera/node/+/status');
    const exact = await inbox(bus, 'tessera/input/front');
    const other = await inbox(bus, 'tessera/input/front');
    await other.end();
    await bus.publish('tessera/node/pi-1/status', 'online', { qos: 1 });
    await bus.publish('tessera/node/pi-1/info', 'no', { qos: 1 });
    await bus.publish('tessera/input/front', 'frame');
    expect(await one.text()).toBe('online');
    expect(await exact.text()).toBe('frame');
    await one.end();
    await bus.publish('tessera/node/pi-1/status', 'offline', { qos: 1 });
    await bus.publish('tessera/input/front', 'last', { qos: 1 });
    expect(await exact.text()).toBe('last');
    expect([one.received.length, other.received.length]).toEqual([1, 0]);
  });

  test('delivers a message to each of two overlapping filters once, not once per delivery', async (server) => {
    const bus = await busTo(server, 'a');
    const wide = await inbox(bus, 'tessera/#');
    const exact = await inbox(bus, 'tessera/x');
    for (const text of ['first', 'last']) await bus.publish('tessera/x', text, { qos: 1 });
    // A second delivery of the first message would come before the last message that both receive.
    const end = await inbox(bus, 'tessera/end');
    await bus.publish('tessera/end', '', { qos: 1 });
    await end.next();
    expect([wide.received.length, exact.received.length]).toEqual([3, 2]);
  });

  test('sends a wire message of 5 MB in parts', async (server) => {
    const wire = async (self: string) => {
      const bus = await busTo(server, self);
      return new Wire({ bus, topics: topics(), self, log: silentLog, now: () => performance.now() });
    };
    const [central, node] = [await wire('central'), await wire('pi-1')];
    const d = new Uint8Array(5_000_000).map((_, k) => k % 251);
    const arrived = new Promise<Uint8Array>((resolve) =>
      node.on('work', z.object({ d: z.instanceof(Uint8Array) }), (_from, message) => resolve(message.d)),
    );
    await node.start();
    await central.send('pi-1', 'work', { d });
    expect(Buffer.compare(await arrived, d)).toBe(0);
    expect(node.counters.invalid).toBe(0);
  });

  test('recovers from a restart of the broker, with its subscriptions and unacknowledged messages', async (server) => {
    const bus = await busTo(server, 'a');
    const seen = await inbox(bus, 'tessera/x');
    let connects = 0;
    const twice = new Promise<void>((resolve) =>
      bus.onConnect(() => {
        connects += 1;
        if (connects === 2) resolve();
      }),
    );
    const down = server.restart();
    while (bus.connected) await new Promise((resolve) => setImmediate(resolve));
    const waiting = bus.publish('tessera/x', 'written while away', { qos: 1 });
    await bus.publish('tessera/x', 'not retained');
    await Promise.all([down, twice, waiting]);
    expect(await seen.text()).toBe('written while away');
    await bus.publish('tessera/x', 'as before');
    expect(await seen.text()).toBe('as before');
  });

  test('publishes pending messages before it stops, once', async (server) => {
    const [a, b] = [await busTo(server, 'a'), await busTo(server, 'b')];
    const seen = await inbox(b, 'tessera/x');
    const last = a.publish('tessera/x', 'goodbye', { qos: 1 });
    const stopping = a.stop();
    expect(a.stop()).toBe(stopping);
    await stopping;
    await last;
    expect(await seen.text()).toBe('goodbye');
    expect(a.connected).toBe(false);
  });

  if (!name.includes('WebSocket')) {
    test('leaves its last will when it is killed, and none when it stops', async (server) => {
      const watcher = await busTo(server, 'watcher');
      const seen = await inbox(watcher, 'tessera/node/#');
      const dial = () => {
        let stream: Duplex | undefined;
        const openStream = () => {
          stream = server.openStream?.() ?? connect(Number(new URL(server.url!).port), '127.0.0.1');
          return stream;
        };
        return { openStream, cut: () => stream!.destroy() };
      };
      const connectDying = async (id: string) => {
        const { openStream, cut } = dial();
        const will = { topic: `tessera/node/${id}/status`, payload: 'offline', qos: 1, retain: true } as const;
        const bus = await connectBusOver({ openStream, clientId: id, log: silentLog, will });
        return { bus, cut };
      };
      const polite = await connectDying('polite');
      await polite.bus.stop();
      const dying = await connectDying('dying');
      dying.cut();
      void dying.bus.stop();
      expect((await seen.next()).topic).toBe('tessera/node/dying/status');
      expect(seen.received).toHaveLength(1);
    });
  }
});

describe('connectBus', () => {
  it('reports that nothing listens, with a hint', async () => {
    const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    const url = broker.urls[0]!;
    await broker.stop();
    await expect(connectBus({ url, clientId: 'a', log: silentLog })).rejects.toMatchObject({
      code: 'TESSERA_BROKER',
      message: expect.stringContaining('nothing listens'),
      hint: expect.stringContaining('tessera broker'),
    });
  });

  it('waits for a broker that starts later, where that is requested', async () => {
    const first = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    const url = first.urls[0]!;
    await first.stop();
    const bus = await connectBus({ url, clientId: 'a', log: silentLog, patient: true });
    stops.push(() => bus.stop());
    expect(bus.connected).toBe(false);
    const seen = inbox(bus, 'tessera/x');
    const later = await startBroker({ listen: [url], anonymous: 'loopback', log: silentLog });
    stops.push(() => later.stop());
    const sent = bus.publish('tessera/x', 'at last', { qos: 1 });
    expect(await (await seen).text()).toBe('at last');
    await sent;
  });

  it('refuses an invalid address', async () => {
    for (const url of ['127.0.0.1:1883', 'http://127.0.0.1', 'mqtt://']) {
      await expect(connectBus({ url, clientId: 'a', log: silentLog })).rejects.toMatchObject({
        code: 'TESSERA_CONFIG',
      });
    }
  });

  it('gives up on a server that accepts and stays silent', async () => {
    const { createServer } = await import('node:net');
    const held: Socket[] = [];
    const server = createServer((socket) => held.push(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const attempt = connectBus({
      url: `mqtt://127.0.0.1:${port}`,
      clientId: 'a',
      log: silentLog,
      connectTimeoutMs: 200,
    });
    await expect(attempt).rejects.toMatchObject({ message: expect.stringContaining('does not answer') });
    for (const socket of held) socket.destroy();
    server.close();
  });
});
