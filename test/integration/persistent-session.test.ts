import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import mqtt, { type IPublishPacket, type Packet } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import type { BrokerOptions } from '../../broker/broker-options.ts';
import type { Identity } from '../../broker/policy.ts';
import { type Bus, type Message, silentLog } from '../../shared/ports.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { localBroker } from '../support/local-broker.ts';

/**
 * The built-in broker's session for central, with real connections. Lost if these fail: acknowledged frames vanish
 * while central restarts, or any client can fill the broker's memory.
 */

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const USERS: Record<string, Identity> = {
  'camera-front': { role: 'camera', name: 'front' },
  central: { role: 'central', name: 'central' },
};
const credentials = { verify: (user: string, password: string) => (password === 'right' ? USERS[user] : undefined) };
const CENTRAL = { clientId: 'tessera-central', sessionSec: 60 };
const SESSION_OF_3 = { clean: false, protocolVersion: 4, reconnectPeriod: 0 } as const;
const INPUT = 'tessera/input/front';

const broker = (options: Partial<BrokerOptions> = {}) => localBroker(stops, options);

async function bus(url: string, clientId: string, more: Partial<BusOptions> = {}): Promise<Bus> {
  const made = await connectBus({ url, clientId, log: silentLog, ...more });
  stops.push(() => made.stop());
  return made;
}

/** The messages that a central receives, and a way to wait for them. */
class Ear {
  readonly heard: Message[] = [];
  #look: () => void = () => {};

  readonly subscription = {
    filter: 'tessera/input/#',
    qos: 1,
    handler: (message: Message) => {
      this.heard.push({ ...message, payload: Uint8Array.from(message.payload) });
      this.#look();
    },
  } as const;

  get texts(): string[] {
    return this.heard.map(({ payload }) => Buffer.from(payload).toString());
  }

  until(count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (this.heard.length >= count) resolve();
      };
      this.#look();
    });
  }
}

async function central(url: string, more: Partial<BusOptions> = {}): Promise<{ ear: Ear; bus: Bus }> {
  const ear = new Ear();
  return { ear, bus: await bus(url, CENTRAL.clientId, { ...CENTRAL, subscriptions: [ear.subscription], ...more }) };
}

/** A central that receives messages and acknowledges none. */
async function mute(url: string) {
  const packets: IPublishPacket[] = [];
  let look = (): void => {};
  const client = await mqtt.connectAsync(url, { ...SESSION_OF_3, clientId: CENTRAL.clientId });
  stops.push(() => client.end(true));
  const inside = client as unknown as { _sendPacket(packet: Packet, done?: () => void, ...more: unknown[]): unknown };
  const send = inside._sendPacket.bind(client);
  inside._sendPacket = (packet, done, ...more) => (packet.cmd === 'puback' ? done?.() : send(packet, done, ...more));
  client.on('packetreceive', (packet) => {
    if (packet.cmd === 'publish') packets.push(packet);
    look();
  });
  await client.subscribeAsync('tessera/input/#', { qos: 1 });
  const until = (count: number): Promise<void> =>
    new Promise((resolve) => {
      look = () => {
        if (packets.length >= count) resolve();
      };
      look();
    });
  return { client, packets, until };
}

const publish = (from: Bus, text: string | Uint8Array, topic = INPUT) => from.publish(topic, text, { qos: 1 });

async function numbered(from: Bus, first: number, last: number): Promise<string[]> {
  const texts = Array.from({ length: last - first + 1 }, (_, i) => `frame ${first + i}`);
  for (const text of texts) await publish(from, text);
  return texts;
}

describe('while central is offline', () => {
  it('its QoS 1 frames are stored, and nothing else', async () => {
    const { url } = await broker();
    const camera = await bus(url, 'camera');
    const first = await central(url);
    const before = await numbered(camera, 1, 3);
    await first.ear.until(3);
    await first.bus.stop();
    await camera.publish(INPUT, 'QoS 0');
    await publish(camera, 'no frame', 'tessera/status');
    const kept = await numbered(camera, 4, 30);
    const second = await central(url);
    const late = await numbered(camera, 31, 33);
    await second.ear.until(30);
    expect(first.ear.texts).toEqual(before);
    expect(second.ear.texts).toEqual([...kept, ...late]);
    expect(second.ear.heard.some(({ redelivered }) => redelivered)).toBe(false);
  });

  it('a last will is a frame too, and is delivered at once to a connected central', async () => {
    const { url } = await broker();
    const { ear } = await central(url);
    const will = { topic: INPUT, payload: Buffer.from('last'), qos: 1, retain: false } as const;
    const camera = await mqtt.connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, will });
    stops.push(() => camera.end(true));
    camera.stream.destroy();
    await ear.until(1);
    expect(ear.texts).toEqual(['last']);
  });

  it('stored frames are delivered in order while more are published, however many there are', async () => {
    const { broker: running, url } = await broker({ slowReaderBytes: 2 ** 20 });
    const camera = await bus(url, 'camera');
    await (await central(url)).bus.stop();
    const frame = (i: number): Uint8Array => Buffer.concat([Buffer.from(`${i} `), Buffer.alloc(400_000)]);
    for (let i = 0; i < 100; i++) await publish(camera, frame(i));
    const numbers: number[] = [];
    const done = new Promise<void>((resolve) => {
      const handler = ({ payload }: Message): void => {
        if (numbers.push(Number.parseInt(Buffer.from(payload.subarray(0, 8)).toString(), 10)) === 120) resolve();
      };
      const subscriptions = [{ filter: 'tessera/input/#', qos: 1, handler } as const];
      void bus(url, CENTRAL.clientId, { ...CENTRAL, subscriptions });
    });
    for (let i = 100; i < 120; i++) await publish(camera, frame(i));
    await done;
    expect(numbers).toEqual(Array.from({ length: 120 }, (_, i) => i));
    expect(running.counters).toMatchObject({
      dropped: { central_session: 0, slow_readers: 0 },
      closed: { slow_readers: 0 },
    });
  });

  it('frames expire after their own time, which is logged', async () => {
    const { broker: running, log, url } = await broker({ centralSession: { ms: 1000, bytes: 1e6 } });
    const camera = await bus(url, 'camera');
    await (await central(url)).bus.stop();
    await numbered(camera, 1, 5);
    expect(await log.line(/away for 1 s: the frames stored for it are dropped/)).toContain('"messages":5');
    expect(running.counters.dropped.central_session).toBe(5);
    const texts = await numbered(camera, 6, 9);
    const { ear } = await central(url);
    texts.push(...(await numbered(camera, 10, 10)));
    await ear.until(5);
    expect(ear.texts).toEqual(texts);
  });

  it('its frames are stored from the start of the broker, even before its first connection', async () => {
    const { url } = await broker();
    const camera = await bus(url, 'camera');
    const texts = await numbered(camera, 1, 20);
    const { ear } = await central(url);
    await ear.until(20);
    expect(ear.texts).toEqual(texts);
    expect(ear.heard.some(({ redelivered }) => redelivered)).toBe(false);
  });

  it('a flooding camera displaces its own frames only', async () => {
    const { broker: running, log, url } = await broker({ centralSession: { ms: 60_000, bytes: 100_000 } });
    const camera = await bus(url, 'camera');
    await (await central(url)).bus.stop();
    await publish(camera, 'a single one', 'tessera/input/side');
    for (let i = 0; i < 50; i++) await publish(camera, new Uint8Array(10_000).fill(i));
    expect(await log.line(/too many are stored/)).toContain('"camera":"front"');
    expect(running.counters.dropped.central_session).toBe(41);
    const { ear } = await central(url);
    await ear.until(10);
    expect(ear.heard.map(({ topic, payload }) => (topic === INPUT ? payload[0] : topic))).toEqual([
      'tessera/input/side',
      ...Array.from({ length: 9 }, (_, i) => 41 + i),
    ]);
  });

  it('nothing is stored where that is switched off, nor for a clean session', async () => {
    const off = await broker({ centralSession: { ms: 0, bytes: 1e6 } });
    const on = await broker();
    for (const { url } of [off, on]) {
      const camera = await bus(url, 'camera');
      await (await central(url)).bus.stop();
      await numbered(camera, 1, 3);
      const clean = await bus(url, CENTRAL.clientId, { protocolVersion: 4 });
      await clean.stop();
      const { ear } = await central(url);
      await numbered(camera, 4, 4);
      await ear.until(1);
      expect(ear.texts).toEqual(['frame 4']);
    }
  });
});

describe('a frame that central has not acknowledged when its connection ends', () => {
  it('is redelivered with DUP under the same packet identifier', async () => {
    const { url } = await broker();
    const camera = await bus(url, 'camera');
    const first = await mute(url);
    const texts = await numbered(camera, 1, 5);
    await first.until(5);
    first.client.stream.destroy();
    const second = await mute(url);
    await second.until(5);
    expect(first.packets.map(({ dup }) => dup)).toEqual(texts.map(() => false));
    expect(second.packets.map(({ dup }) => dup)).toEqual(texts.map(() => true));
    expect(second.packets.map(({ messageId }) => messageId)).toEqual(first.packets.map(({ messageId }) => messageId));
    // The next connection takes over while it lives.
    const third = await central(url);
    await third.ear.until(5);
    expect(third.ear.texts).toEqual(texts);
    expect(third.ear.heard.every(({ redelivered }) => redelivered)).toBe(true);
  });

  it('is not redelivered when it was acknowledged', async () => {
    const { url } = await broker();
    const camera = await bus(url, 'camera');
    const first = await central(url);
    await numbered(camera, 1, 500);
    await first.ear.until(500);
    await first.bus.stop();
    const second = await central(url);
    await numbered(camera, 501, 501);
    await second.ear.until(1);
    expect(second.ear.texts).toEqual(['frame 501']);
  });
});

describe('no other client', () => {
  /** CONNECT of MQTT 3.1.1 or 5 without a clean session; the answer's bytes. */
  async function answer(url: string, version: 4 | 5, clientId: string): Promise<number[]> {
    const socket: Socket = connect(Number(new URL(url).port), '127.0.0.1');
    stops.push(() => socket.destroy());
    const properties = version === 5 ? [0] : [];
    const name = [...Buffer.from(clientId)];
    const body = [0, 4, ...Buffer.from('MQTT'), version, 0, 0, 0, ...properties, 0, name.length, ...name];
    socket.write(Uint8Array.from([0x10, body.length, ...body]));
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    return [...bytes];
  }

  it('is offered such a session, and no other session stores frames', async () => {
    const { url } = await broker();
    const REFUSED = [0x20, 3, 0, 132, 0];
    for (const id of ['camera', 'tessera-node-pi-1', 'tessera-central-left'])
      expect(await answer(url, 5, id)).toEqual(REFUSED);
    expect(await answer(url, 5, 'tessera-central')).toEqual([0x20, 8, 0, 132, 5, 0x11, 0, 0, 0, 60]);
    const camera = await bus(url, 'camera');
    const other = await mqtt.connectAsync(url, { ...SESSION_OF_3, clientId: 'other' });
    await other.subscribeAsync(['tessera/input/#', 'tessera/x'], { qos: 1 });
    await other.endAsync();
    await numbered(camera, 1, 3);
    await publish(camera, 'no frame', 'tessera/x');
    const heard: string[] = [];
    const back = await mqtt.connectAsync(url, { ...SESSION_OF_3, clientId: 'other' });
    stops.push(() => back.end(true));
    const said = new Promise<void>((resolve) => {
      back.on('message', (_topic, payload) => {
        heard.push(payload.toString());
        if (heard.length === 2) resolve();
      });
    });
    await publish(camera, 'live', 'tessera/x');
    await said;
    expect(heard).toEqual(['no frame', 'live']);
  });

  it("may connect with central's client id, to take or end its session", async () => {
    const { log, url } = await broker({ credentials, anonymous: 'never' });
    const as = (user: string) => ({ user, password: 'right' });
    const camera = await bus(url, 'camera', as('camera-front'));
    await (await central(url, as('central'))).bus.stop();
    const texts = await numbered(camera, 1, 3);
    for (const more of [{ sessionSec: 60 }, {}])
      await expect(bus(url, CENTRAL.clientId, { ...as('camera-front'), ...more })).rejects.toMatchObject({
        code: 'TESSERA_BROKER',
      });
    expect(await log.line(/the client id is central's/)).toContain('camera-front');
    const { ear } = await central(url, as('central'));
    await ear.until(3);
    expect(ear.texts).toEqual(texts);
  });
});
