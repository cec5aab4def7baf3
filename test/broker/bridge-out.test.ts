import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BridgeOut, type LocalMessage, MAX_BACKLOG_BYTES } from '../../broker/bridge-out.ts';

/** Lost if these fail: the other broker shows a state of the past for ever, or events get lost without a word. */

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);

/** Two brokers: what is retained at each, and a connection whose acknowledgements the test gives. */
class World {
  readonly here = new Map<string, Uint8Array>();
  readonly there = new Map<string, string>();
  readonly events: string[] = [];
  readonly counters = { bridge: 0 };
  readonly said: string[] = [];
  /** Messages with QoS 1 that were not acknowledged; a new connection sends them again, as `Bus` does. */
  readonly #open: { send: () => void; settle: () => void }[] = [];
  connected = false;
  backlogBytes = 0;
  readonly out: BridgeOut;

  constructor() {
    const { here } = this;
    this.out = new BridgeOut({
      remote: this,
      retained: async function* () {
        for (const [topic, payload] of here) {
          await Promise.resolve();
          yield { topic, payload };
        }
      },
      counters: this.counters,
      throttledLog: { warn: (_, line) => this.said.push(line) },
    });
  }

  publish(topic: string, payload: Uint8Array, { retain }: { retain?: boolean }): Promise<void> {
    if (payload.byteLength > 2 * MAX_BACKLOG_BYTES) return Promise.reject(new Error('too large'));
    return new Promise((settle) => {
      const send = (): void => {
        if (retain !== true) this.events.push(text(payload));
        else if (payload.byteLength === 0) this.there.delete(topic);
        else this.there.set(topic, payload.byteLength > 99 ? 'large' : text(payload));
      };
      send();
      this.#open.push({ send, settle });
    });
  }

  acknowledge(count = Number.POSITIVE_INFINITY): void {
    for (const { settle } of this.#open.splice(0, count)) settle();
  }

  connect(): void {
    this.connected = true;
    for (const { send } of this.#open) send();
    void this.out.synchronise();
  }

  say(topic: string, payload: Uint8Array, retain: boolean): void {
    if (retain && payload.byteLength > 0) this.here.set(topic, payload);
    else if (retain) this.here.delete(topic);
    this.out.take({ topic, payload, qos: 1, retain } satisfies LocalMessage);
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      this.acknowledge();
    }
  }
}

test('after every connection the other broker has the newest state of each topic, whatever was lost', async () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant('state' as const), topic: fc.constantFrom('a', 'b', 'c'), large: fc.boolean() }),
    fc.record({ kind: fc.constant('clear' as const), topic: fc.constantFrom('a', 'b', 'c') }),
    fc.constantFrom(
      ...(['event', 'cut', 'connect', 'acknowledge', 'turn', 'forget'] as const).map((kind) => ({ kind })),
    ),
  );
  const large = new Uint8Array(MAX_BACKLOG_BYTES);
  const property = fc.asyncProperty(fc.array(act, { maxLength: 40 }), async (acts) => {
    const world = new World();
    for (const [i, one] of acts.entries()) {
      if (one.kind === 'state') world.say(one.topic, one.large ? large : bytes(`${i}`), true);
      else if (one.kind === 'clear') world.say(one.topic, new Uint8Array(0), true);
      else if (one.kind === 'event') world.say('e', bytes(`event ${i}`), false);
      else if (one.kind === 'connect' && !world.connected) world.connect();
      else if (one.kind === 'cut') world.connected = false;
      else if (one.kind === 'acknowledge' && world.connected) world.acknowledge(1);
      else if (one.kind === 'turn') await Promise.resolve();
      // The other broker keeps nothing over a restart.
      else if (one.kind === 'forget' && !world.connected) world.there.clear();
    }
    if (!world.connected) world.connect();
    await world.settle();
    const shown = [...world.here].map(([topic, payload]) => [topic, payload === large ? 'large' : text(payload)]);
    expect(Object.fromEntries(world.there)).toEqual(Object.fromEntries(shown));
    expect(new Set(world.events).size + world.counters.bridge).toBe(acts.filter(({ kind }) => kind === 'event').length);
  });
  await fc.assert(property, { numRuns: 300 });
});

test('what is dropped is counted and said: events while it is away or too slow, and what it does not take', async () => {
  const world = new World();
  world.say('e', bytes('away'), false);
  world.connect();
  await world.settle();
  world.backlogBytes = MAX_BACKLOG_BYTES + 1;
  world.say('e', bytes('slow'), false);
  world.say('s', bytes('waits'), true);
  world.backlogBytes = 0;
  world.say('s', new Uint8Array(2 * MAX_BACKLOG_BYTES + 1), true);
  world.say('t', bytes('sent'), true);
  await world.settle();
  expect([world.events, world.counters.bridge]).toEqual([[], 3]);
  expect(world.said).toEqual([
    'the bridge drops messages while the other broker is not reached: 1 so far',
    'the bridge drops messages, since the other broker takes them too slowly: 2 so far',
    'the bridge drops messages that the other broker does not take (s: Error: too large): 3 so far',
  ]);
});
