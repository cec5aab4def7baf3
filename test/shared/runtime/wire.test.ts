import { describe, expect, it } from 'vitest';
import type { Log } from '../../../shared/ports.ts';
import { silentLog } from '../../../shared/ports.ts';
import { PART_LIMIT_BYTES, REASSEMBLY_LIMITS, type ReassemblyLimits } from '../../../shared/protocol/parts.ts';
import { ALL, topics } from '../../../shared/protocol/topics.ts';
import { encode } from '../../../shared/runtime/cbor.ts';
import { Wire } from '../../../shared/runtime/wire.ts';
import { z } from '../../../shared/schema.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

// Lost if these fail: work is not received, messages count as another sender's, or one bad sender ends central.

const names = topics('tessera');
const schema = z.object({ n: z.number(), d: z.instanceof(Uint8Array).optional() });
type Received = { from: string; n: number; size: number; bytes: number };

async function pair(options: { log?: Log; now?: () => number; limits?: ReassemblyLimits } = {}) {
  const broker = new MemoryBroker();
  const wire = (self: string) =>
    new Wire({ bus: broker.bus(), topics: names, self, log: silentLog, now: () => 0, ...options });
  const central = wire('central');
  const node = wire('pi-1');
  const received: Received[] = [];
  const note = (from: string, message: z.infer<typeof schema>, bytes: number) =>
    received.push({ from, n: message.n, size: message.d?.byteLength ?? 0, bytes });
  node.on('work', schema, note);
  node.on('control', schema, note);
  await central.start();
  await node.start();
  return { broker, central, node, received };
}

describe('Wire', () => {
  it('delivers a message with its sender and its size on the wire', async () => {
    const { central, received, broker } = await pair();
    const bytes = await central.send('pi-1', 'work', { n: 7 });
    expect(received).toEqual([{ from: 'central', n: 7, size: 0, bytes }]);
    expect(broker.published.map(({ topic, qos }) => [topic, qos])).toEqual([['tessera-wire/1/pi-1/work/central', 0]]);
  });

  it('sends control messages, frames and blobs with QoS 1, and bulk with QoS 0', async () => {
    const { central, broker } = await pair();
    for (const kind of ['work', 'result', 'tensor', 'control', 'frame', 'blob-get', 'blob-part', 'echo'] as const) {
      await central.send('pi-1', kind, { n: 1 });
    }
    expect(broker.published.map(({ qos }) => qos)).toEqual([0, 0, 0, 1, 1, 1, 1, 0]);
  });

  it('sends a large body in parts below the limit and delivers it once, whole', async () => {
    const { central, received, broker } = await pair();
    const d = new Uint8Array(1_000_000).fill(5);
    const bytes = await central.send('pi-1', 'work', { n: 1, d });
    expect(broker.published.length).toBe(4);
    expect(Math.max(...broker.published.map(({ payload }) => payload.byteLength))).toBeLessThanOrEqual(
      PART_LIMIT_BYTES,
    );
    expect(broker.published.reduce((sum, { payload }) => sum + payload.byteLength, 0)).toBe(bytes);
    expect(received).toMatchObject([{ from: 'central', n: 1, size: 1_000_000 }]);
  });

  it('never mixes the parts of two runs of one sender', async () => {
    const { central, received, broker } = await pair();
    const d = new Uint8Array(300_000);
    await central.send('pi-1', 'work', { n: 1, d });
    const [firstPart] = broker.published;
    const { broker: later, central: restarted } = await pair();
    await restarted.send('pi-1', 'work', { n: 2, d });
    received.length = 0;
    // The network repeats a message of the old run together with the second half of the new run's.
    await broker.publish(firstPart!.topic, firstPart!.payload);
    await broker.publish(later.published[1]!.topic, later.published[1]!.payload);
    expect(received).toEqual([]);
  });

  it.each([
    ['noise', 'tessera-wire/1/pi-1/work/central', Uint8Array.of(0xff, 1, 2), false],
    ['another schema', 'tessera-wire/1/pi-1/work/central', encode({ n: 'seven' }), false],
    [
      'a part that lies',
      'tessera-wire/1/pi-1/work/central',
      encode({ v: 1, m: 'x', part: [9, 2], d: new Uint8Array(1) }),
      false,
    ],
    ['a sender that is no id', 'tessera-wire/1/pi-1/work/Not an id', encode({ n: 1 }), false],
    ['an unknown kind', 'tessera-wire/1/pi-1/joke/central', encode({ n: 1 }), false],
    ['nothing at all', 'tessera-wire/1/pi-1/work/central', new Uint8Array(0), false],
  ])('counts and survives %s', async (_what, topic, payload) => {
    const { broker, central, node, received } = await pair();
    await broker.publish(topic, payload);
    expect(node.counters.invalid).toBe(1);
    await central.send('pi-1', 'work', { n: 1 });
    expect(received).toHaveLength(1);
  });

  it('ignores retained messages', async () => {
    const broker = new MemoryBroker();
    await broker.publish('tessera-wire/1/pi-1/control/central', encode({ n: 1 }), { retain: true });
    const node = new Wire({ bus: broker.bus(), topics: names, self: 'pi-1', log: silentLog, now: () => 0 });
    const received: number[] = [];
    node.on('control', schema, (_from, { n }) => received.push(n));
    await node.start();
    expect(received).toEqual([]);
    expect(node.counters.invalid).toBe(1);
  });

  it('counts messages without a handler', async () => {
    const { central, node } = await pair();
    await central.send('pi-1', 'tensor', { n: 1 });
    expect(node.counters).toMatchObject({ unhandled: 1, invalid: 0 });
  });

  it('logs once per sender and minute, not once per message', async () => {
    const warnings: string[] = [];
    let now = 0;
    const { broker } = await pair({
      log: { ...silentLog, warn: (_message, fields) => warnings.push(String(fields?.from)) },
      now: () => now,
    });
    const bad = (from: string) => broker.publish(`tessera-wire/1/pi-1/work/${from}`, Uint8Array.of(0xff));
    for (let k = 0; k < 5; k++) await bad('central');
    await bad('pi-2');
    now = 60_000;
    await bad('central');
    expect(warnings).toEqual(['central', 'pi-2', 'central']);
  });
});

describe('a message that was not expected', () => {
  it('is dropped by its first fields, undecoded, also if it came in parts; an expected one is not', async () => {
    // Room for one large message: parts of another one that were kept would leave none.
    const { central, node, received } = await pair({ limits: { ...REASSEMBLY_LIMITS, totalBytes: 1_100_000 } });
    const asked: unknown[] = [];
    central.on(
      'result',
      schema,
      (from, message) => received.push({ from, n: message.n, size: 0, bytes: 0 }),
      (_, head) => {
        asked.push(head.n);
        return head.n === 1 ? 'unknown' : 'unasked';
      },
    );
    await node.send('central', 'result', { n: 2, d: new Uint8Array(1000), broken: undefined });
    await node.send('central', 'result', { n: 3, d: new Uint8Array(1_000_000) });
    await node.send('central', 'result', { n: 1, d: new Uint8Array(1_000_000) });
    expect(asked).toEqual([2, 3, 1, 1]);
    expect(received.map(({ n }) => n)).toEqual([1]);
    // The one message, and each part of the large one.
    expect(central.counters).toMatchObject({ dropped: 5, invalid: 0 });
  });

  it('is logged once a minute and sender, when there are more than late answers explain', async () => {
    const lines: string[] = [];
    const log: Log = { ...silentLog, warn: (text) => lines.push(text) };
    const { central, node } = await pair({ log });
    central.on(
      'result',
      schema,
      () => {},
      () => 'unasked',
    );
    for (let k = 0; k < 150; k++) await node.send('central', 'result', { n: 2 });
    expect(lines).toEqual([]);
    for (let k = 0; k < 1000; k++) await node.send('central', 'result', { n: 2 });
    expect(lines).toEqual(['pi-1 floods: it sends many unrequested result messages']);
  });

  it('is not decoded any more once its sender has cost too much time, and again later', async () => {
    const clock = { now: 0 };
    const { central, node, broker } = await pair({ now: () => clock.now });
    let handled = 0;
    central.on('result', schema, () => {
      handled++;
      // The time that it took to find out that it was useless.
      clock.now += 100;
      return false;
    });
    for (let k = 0; k < 50; k++) await node.send('central', 'result', { n: 1 });
    expect(handled).toBeGreaterThan(5);
    expect(handled).toBeLessThan(15);
    const other = new Wire({ bus: broker.bus(), topics: names, self: 'pi-2', log: silentLog, now: () => 0 });
    const before = handled;
    await other.send('central', 'result', { n: 1 });
    expect(handled).toBe(before + 1);
    clock.now += 60_000;
    await node.send('central', 'result', { n: 1 });
    expect(handled).toBe(before + 2);
  });

  it('counts against its sender also if it is parts that never become whole; complete messages are not counted', async () => {
    // Each reading of the clock advances it by a millisecond.
    let now = 0;
    // Parts of 2000 bodies, and no more, leave room for the last large message.
    const limits = { ...REASSEMBLY_LIMITS, totalBytes: 2000 * 1300 + 700_000 };
    const { central, node, broker } = await pair({ now: () => now++, limits });
    let handled = 0;
    central.on('result', schema, () => handled++);
    const part = (from: string, n: number, k: number) =>
      broker.publish(
        names.wire('central', 'result', from),
        encode({ v: 1, m: `m-${n}`, part: [k, 2], d: new Uint8Array(100) }),
      );
    for (let n = 0; n < 400; n++) await node.send('central', 'result', { n: 1, d: new Uint8Array(300_000) });
    expect([handled, central.counters.dropped]).toEqual([400, 0]);

    for (let n = 0; n < 5000; n++) await part('flooder', n, 1);
    expect(central.counters.dropped).toBeGreaterThan(3000);
    await node.send('central', 'result', { n: 1, d: new Uint8Array(600_000) });
    expect(handled).toBe(401);

    now += 60_000;
    const before = central.counters.dropped;
    await part('flooder', 9999, 1);
    expect(central.counters.dropped).toBe(before);
  });

  it('comes from any other sender than the expected one', async () => {
    const broker = new MemoryBroker();
    const wire = (self: string, only?: string) =>
      new Wire({ bus: broker.bus(), topics: names, self, log: silentLog, now: () => 0, ...(only && { only }) });
    const node = wire('pi-1', 'central');
    let handled = 0;
    node.on('work', schema, () => handled++);
    await node.start();
    await wire('pi-2').send('pi-1', 'work', { n: 1 });
    expect([handled, node.counters.dropped]).toEqual([0, 1]);
    await wire('central').send('pi-1', 'work', { n: 1 });
    expect(handled).toBe(1);
  });

  it('but not of the kinds that everyone may send', async () => {
    const broker = new MemoryBroker();
    const about = { topics: names, log: silentLog, now: () => 0 };
    const node = new Wire({ ...about, bus: broker.bus(), self: 'pi-1', only: 'central', fromAny: ['blob-get'] });
    let handled = 0;
    node.on('blob-get', schema, () => handled++);
    await node.start();
    await new Wire({ ...about, bus: broker.bus(), self: 'pi-2' }).send('pi-1', 'blob-get', { n: 1 });
    expect(handled).toBe(1);
  });
});

describe('what central sends to all', () => {
  it('is read from joining to the end of that, and only if central sent it', async () => {
    const broker = new MemoryBroker();
    const wire = (self: string) => new Wire({ bus: broker.bus(), topics: names, self, log: silentLog, now: () => 0 });
    const [node, central, other] = [wire('pi-1'), wire('central'), wire('pi-2')];
    let handled = 0;
    node.on('blob-part', schema, () => handled++);
    await node.start();
    await central.send(ALL, 'blob-part', { n: 1 });
    const leave = await node.join();
    await central.send(ALL, 'blob-part', { n: 2 });
    await other.send(ALL, 'blob-part', { n: 3 });
    await leave();
    await central.send(ALL, 'blob-part', { n: 4 });
    expect(handled).toBe(1);
  });
});
