import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { type Log, type Message, silentLog } from '../../../shared/ports.ts';
import { Backoff } from '../../../shared/runtime/backoff.ts';
import type { BrokerConnection } from '../../../shared/runtime/broker-connection.ts';
import { ReconnectingBus } from '../../../shared/runtime/bus.ts';

// Lost if these fail: nodes that stay silent after a broker restart, messages repeated for ever or settled twice.

type Sent = { topic: string; qos: number; answer: (outcome: 'sent' | 'lost' | Error) => void };

/** A connection whose answers the test gives. */
class ScriptedBrokerConnection implements BrokerConnection {
  readonly sent: Sent[] = [];
  readonly filters: string[] = [];
  readonly unsubscribed: string[] = [];
  /** The filters that the broker has. */
  readonly standing = new Set<string>();
  readonly refuse = new Set<string>();
  backlogBytes = 0;
  maximumPacketBytes: number | undefined;
  ended = false;
  readonly lost: Promise<string>;
  readonly #lose: (reason: string) => void;

  constructor() {
    let lose: (reason: string) => void = () => {};
    this.lost = new Promise((resolve) => {
      lose = resolve;
    });
    this.#lose = lose;
  }

  publish(topic: string, _payload: Uint8Array | string, qos: 0 | 1): Promise<'sent' | 'lost'> {
    return new Promise((resolve, reject) => {
      const answer = (outcome: 'sent' | 'lost' | Error) =>
        outcome instanceof Error ? reject(outcome) : resolve(outcome);
      this.sent.push({ topic, qos, answer });
      if (qos === 0) answer('sent');
    });
  }

  async subscribe(filter: string): Promise<'sent'> {
    this.filters.push(filter);
    if (this.refuse.has(filter)) throw new TesseraError('TESSERA_BROKER', 'refused');
    this.standing.add(filter);
    return 'sent';
  }

  async unsubscribe(filter: string): Promise<'sent'> {
    this.unsubscribed.push(filter);
    this.standing.delete(filter);
    return 'sent';
  }

  drop(): void {
    for (const { answer } of this.sent) answer('lost');
    this.#lose('cut');
  }

  async end(): Promise<void> {
    this.ended = true;
    this.drop();
  }
}

async function connected(log: Log = silentLog) {
  const sessions: ScriptedBrokerConnection[] = [];
  let deliver: (message: Message) => void = () => {};
  let opened: () => void = () => {};
  const open = async (onMessage: (message: Message) => void) => {
    const session = new ScriptedBrokerConnection();
    sessions.push(session);
    deliver = onMessage;
    opened();
    return session;
  };
  const bus = new ReconnectingBus(open, log, 1000, new Backoff({ firstMs: 1, maxMs: 1 }));
  await bus.start();
  /** Cuts the connection and waits for the next one. */
  const reconnect = async () => {
    const again = new Promise<void>((resolve) => {
      opened = resolve;
    });
    sessions.at(-1)!.drop();
    await again;
    while (!bus.connected) await Promise.resolve();
    return sessions.at(-1)!;
  };
  const message = (topic: string): Message => ({ topic, payload: new Uint8Array(0), retained: false });
  return { bus, sessions, reconnect, deliver: (topic: string) => deliver(message(topic)) };
}

describe('ReconnectingBus', () => {
  it('subscribes again on every connection before it says connected (invariant 2)', async () => {
    const { bus, sessions, reconnect } = await connected();
    await bus.subscribe('a/#', 0, () => {});
    await bus.subscribe('b/+', 1, () => {});
    const seen: string[][] = [];
    bus.onConnect(() => seen.push([...sessions.at(-1)!.filters]));
    await Promise.resolve();
    await reconnect();
    expect(seen).toEqual([
      ['a/#', 'b/+'],
      ['a/#', 'b/+'],
    ]);
  });

  it('also calls a listener that is added after the first connection', async () => {
    const { bus } = await connected();
    await new Promise<void>((resolve) => bus.onConnect(resolve));
  });

  it('sends unacknowledged messages again, in order, and settles each once (invariant 3)', async () => {
    const { bus, reconnect } = await connected();
    const first = bus.publish('one', 'x', { qos: 1 });
    const second = bus.publish('two', 'x', { qos: 1 });
    const session = await reconnect();
    expect(session.sent.map(({ topic }) => topic)).toEqual(['one', 'two']);
    for (const { answer } of session.sent) answer('sent');
    await Promise.all([first, second]);
    const next = await reconnect();
    expect(next.sent).toEqual([]);
  });

  it('gives up on a message with which three connections were lost (invariant 3)', async () => {
    const { bus, reconnect } = await connected();
    const poison = bus.publish('poison', 'x', { qos: 1 });
    await reconnect();
    await reconnect();
    const session = await reconnect();
    await expect(poison).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    expect(session.sent).toEqual([]);
  });

  it('drops QoS 0 while there is no connection (invariant 4)', async () => {
    const { bus, sessions, reconnect } = await connected();
    sessions[0]!.drop();
    await sessions[0]!.lost;
    await bus.publish('beat', 'x');
    expect(bus.counters).toEqual({ connections: 1, droppedOffline: 1, rejected: 0 });
    const session = await reconnect();
    expect(session.sent).toEqual([]);
  });

  it('calls every matching handler, even if one throws (invariant 5)', async () => {
    const errors: string[] = [];
    const { bus, deliver } = await connected({ ...silentLog, error: (message) => errors.push(message) });
    const got: string[] = [];
    await bus.subscribe('a/#', 0, () => {
      throw new Error('broken handler');
    });
    await bus.subscribe('a/+', 0, ({ topic }) => got.push(`plus ${topic}`));
    await bus.subscribe('a/b', 0, ({ topic }) => got.push(`exact ${topic}`));
    deliver('a/b');
    deliver('a/b/c');
    expect(got).toEqual(['plus a/b', 'exact a/b']);
    expect(errors).toHaveLength(2);
  });

  it('refuses a message larger than the broker accepts, as it would end the connection', async () => {
    const { bus, sessions } = await connected();
    await expect(bus.publish('t', new Uint8Array(1001))).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    sessions[0]!.maximumPacketBytes = 100;
    await expect(bus.publish('t', new Uint8Array(100), { qos: 1 })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    expect(sessions[0]!.sent).toEqual([]);
  });

  it('refuses an invalid topic, as a broker would close the connection', async () => {
    const { bus, sessions } = await connected();
    for (const topic of ['', 'a/+', 'a/#']) {
      await expect(bus.publish(topic, 'x')).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    }
    expect(sessions[0]!.sent).toEqual([]);
  });

  it('reports a refused subscription to the caller, and does not repeat it', async () => {
    const { bus, sessions, reconnect } = await connected();
    sessions[0]!.refuse.add('secret/#');
    await expect(bus.subscribe('secret/#', 0, () => {})).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await expect(bus.subscribe('a/#/b', 0, () => {})).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    expect((await reconnect()).filters).toEqual([]);
  });

  it('ends one subscription and no other with its filter; UNSUBSCRIBE comes with the last (invariant 7)', async () => {
    const { bus, sessions, deliver } = await connected();
    const got: string[] = [];
    const [first, second] = await Promise.all(
      ['first', 'second'].map((name) => bus.subscribe('a/+', 0, () => got.push(name))),
    );
    await first!();
    await first!();
    deliver('a/b');
    expect([got, sessions[0]!.unsubscribed]).toEqual([['second'], []]);
    await second!();
    deliver('a/b');
    expect([got, sessions[0]!.unsubscribed]).toEqual([['second'], ['a/+']]);
  });

  it('subscribes again after the broker has answered UNSUBSCRIBE, not beside it (invariant 7)', async () => {
    const { bus, sessions } = await connected();
    let answer: () => void = () => {};
    sessions[0]!.unsubscribe = () => new Promise((resolve) => (answer = () => resolve('sent')));
    const end = await bus.subscribe('a', 1, () => {});
    void end();
    const again = bus.subscribe('a', 1, () => {});
    await new Promise((resolve) => setImmediate(resolve));
    expect(sessions[0]!.filters).toEqual(['a']);
    answer();
    await again;
    expect(sessions[0]!.filters).toEqual(['a', 'a']);
  });

  it('a refused subscription costs no other one with its filter', async () => {
    const { bus, sessions, deliver } = await connected();
    const got: string[] = [];
    await bus.subscribe('a', 0, () => got.push('first'));
    sessions[0]!.refuse.add('a');
    await expect(bus.subscribe('a', 1, () => got.push('second'))).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    deliver('a');
    expect(got).toEqual(['first']);
  });

  it('each handler hears its filter from its subscription to its end, whatever the others do', async () => {
    const step = fc.record({
      act: fc.constantFrom('subscribe', 'end', 'reconnect'),
      filter: fc.constantFrom('a', 'a/#', '+'),
      which: fc.nat({ max: 9 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { bus, sessions, reconnect, deliver } = await connected();
        const open: { name: string; filter: string; end: () => Promise<void> }[] = [];
        let got: string[] = [];
        for (const [i, { act, filter, which }] of steps.entries()) {
          if (act === 'reconnect') await reconnect();
          else if (act === 'subscribe') {
            const name = `${filter} ${i}`;
            open.push({ name, filter, end: await bus.subscribe(filter, 0, () => got.push(name)) });
          } else await open.splice(which, 1)[0]?.end();
          got = [];
          deliver('a');
          expect(got.sort()).toEqual(open.map(({ name }) => name).sort());
          expect([...sessions.at(-1)!.standing].sort()).toEqual([...new Set(open.map((one) => one.filter))].sort());
        }
        await bus.stop();
      }),
      { numRuns: 50 },
    );
  });

  it('stops once, waits for messages being sent, and rejects the rest', async () => {
    const { bus, sessions } = await connected();
    const acknowledged = bus.publish('last', 'x', { qos: 1 });
    const stopping = bus.stop();
    expect(bus.stop()).toBe(stopping);
    sessions[0]!.sent[0]!.answer('sent');
    await acknowledged;
    await stopping;
    expect(sessions[0]!.ended).toBe(true);
    expect(bus.connected).toBe(false);
    await expect(bus.publish('late', 'x', { qos: 1 })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await bus.publish('late', 'x');
    expect(sessions).toHaveLength(1);
  });

  it('stops in bounded time when the broker does not answer', async () => {
    const { bus } = await connected();
    const forgotten = bus.publish('never acknowledged', 'x', { qos: 1 });
    const from = performance.now();
    await bus.stop(50);
    expect(performance.now() - from).toBeLessThan(1000);
    await expect(forgotten).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
  });
});
