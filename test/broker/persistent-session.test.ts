import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PersistentSession, type QueuedMessage } from '../../broker/persistent-session.ts';

// Lost if these fail: frames that the broker acknowledged vanish while central restarts, or fill its memory.

const message = (brokerCounter: number, bytes = 1): QueuedMessage => ({
  brokerCounter,
  topic: 't',
  payload: Buffer.alloc(bytes - 1),
  dup: false,
});
const atOnce = () => Promise.resolve();

/** A packet as it is written to a connection. */
interface Carrier {
  readonly brokerCounter: number;
  dup: boolean;
  messageId?: number | undefined;
}

/** All queued messages, as delivered to `reader`. */
async function catchUp(session: PersistentSession<QueuedMessage>, reader: object): Promise<Carrier[]> {
  const all: Carrier[] = [];
  for await (const { brokerCounter } of session.begin(reader, atOnce)) {
    const carrier: Carrier = { brokerCounter, dup: false };
    session.hand(reader, carrier);
    expect(session.passes(reader, carrier)).toBe(true);
    all.push(carrier);
  }
  return all;
}

const counters = (carriers: readonly Carrier[]): number[] => carriers.map(({ brokerCounter }) => brokerCounter);

describe('a persistent session', () => {
  it('delivers messages that arrived while its client was offline, in order, and forgets acknowledged ones', async () => {
    const session = new PersistentSession({ messages: 10, bytes: 1000 });
    for (const counter of [3, 5, 8]) session.keep('front', message(counter));
    const first = {};
    const had = await catchUp(session, first);
    expect(counters(had)).toEqual([3, 5, 8]);
    expect(had.map(({ dup }) => dup)).toEqual([false, false, false]);
    session.acknowledge(first, had[1]!.messageId!);
    session.leave(first);
    const again = await catchUp(session, {});
    expect(again).toEqual([3, 8].map((brokerCounter, i) => ({ ...had[i * 2]!, brokerCounter, dup: true })));
  });

  it('is bounded (1): a sender that floods displaces its own messages', () => {
    const session = new PersistentSession({ messages: 100, bytes: 10 });
    expect(session.keep('side', message(1, 2))).toBe(0);
    for (let counter = 2; counter < 6; counter++) expect(session.keep('front', message(counter, 2))).toBe(0);
    expect(session.keep('front', message(6, 3))).toBe(2);
    expect(session.held).toEqual({ messages: 4, bytes: 9 });
    // A message larger than the bound is kept alone: central may be connected and read it.
    expect(session.keep('front', message(7, 11))).toBe(4);
    expect(session.held).toEqual({ messages: 1, bytes: 11 });
  });

  it('is bounded (1) in messages, and many small ones do not displace a large one of another sender', () => {
    const session = new PersistentSession({ messages: 10, bytes: 1000 });
    expect(session.keep('front', message(1, 300))).toBe(0);
    let dropped = 0;
    for (let counter = 2; counter < 50; counter++) dropped += session.keep('side', message(counter, 1));
    expect(dropped).toBe(41);
    expect(session.held).toEqual({ messages: 8, bytes: 1000 });
    for (let counter = 50; counter < 60; counter++) session.keep('front', message(counter, 300));
    expect(session.held).toEqual({ messages: 6, bytes: 1000 });
  });

  it('lets no message overtake queued ones (2), and delivers none twice (3)', async () => {
    const session = new PersistentSession({ messages: 10, bytes: 1000 });
    session.keep('front', message(1));
    session.keep('front', message(2));
    const reader = {};
    const waiting = session.begin(reader, atOnce);
    await waiting.next();
    session.keep('front', message(3));
    const carriers = [1, 2, 3].map((brokerCounter): Carrier => ({ brokerCounter, dup: false }));
    for (const carrier of carriers) expect(session.passes(reader, carrier)).toBe(false);
    for (const carrier of carriers) {
      session.hand(reader, carrier);
      expect((await waiting.next()).done).toBe(carrier.brokerCounter === 3);
    }
    for (const { brokerCounter } of carriers) expect(session.passes(reader, { brokerCounter })).toBe(false);
    session.keep('front', message(4));
    expect(session.passes(reader, { brokerCounter: 4 })).toBe(true);
  });

  it('is acknowledged by its reader only (4)', async () => {
    const session = new PersistentSession({ messages: 10, bytes: 1000 });
    session.keep('front', message(1));
    const [first, second] = [{}, {}];
    const [had] = await catchUp(session, first);
    session.acknowledge(second, had!.messageId!);
    const waiting = session.begin(second, atOnce);
    session.acknowledge(first, had!.messageId!);
    expect((await waiting.next()).value?.brokerCounter).toBe(1);
    // It has its packet id from the connection before, and was not sent on this one.
    session.acknowledge(second, had!.messageId!);
    expect(session.held.messages).toBe(1);
  });

  it('ends a wait for a client that disconnected', async () => {
    const session = new PersistentSession({ messages: 10, bytes: 1000 });
    session.keep('front', message(1));
    const reader = {};
    const waiting = session.begin(reader, atOnce);
    await waiting.next();
    const end = waiting.next();
    session.leave(reader);
    expect((await end).done).toBe(true);
  });

  const steps = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant('keep' as const), owner: fc.constantFrom('a', 'b') }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('emit' as const) }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant('pump' as const) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant('acknowledge' as const), which: fc.nat(5) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('begin' as const) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const) }) },
    ),
    { maxLength: 80 },
  );

  it('loses no message except those that it reports as dropped, in any order of events', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 1, max: 8 }), async (all, messages) => {
        const session = new PersistentSession({ messages, bytes: 1000 });
        let counter = 0;
        let dropped = 0;
        const acknowledged = new Set<number>();
        const handedBefore = new Set<number>();
        const emits: number[] = [];
        let reader: object | undefined;
        let waiting: AsyncGenerator<QueuedMessage> | undefined;
        let handed: Carrier[] = [];
        const hand = (brokerCounter: number): void => {
          const carrier: Carrier = { brokerCounter, dup: false };
          session.hand(reader!, carrier);
          expect(brokerCounter).toBeGreaterThan(handed.at(-1)?.brokerCounter ?? 0);
          expect(acknowledged).not.toContain(brokerCounter);
          if (carrier.dup) expect(handedBefore).toContain(brokerCounter);
          handed.push(carrier);
        };
        const leave = (): void => {
          if (reader !== undefined) session.leave(reader);
          reader = undefined;
          for (const { brokerCounter } of handed) handedBefore.add(brokerCounter);
          handed = [];
        };
        for (const step of all) {
          if (step.do === 'keep') {
            dropped += session.keep(step.owner, message(++counter));
            emits.push(counter);
          } else if (step.do === 'emit') {
            const next = emits.shift();
            if (next !== undefined && reader !== undefined && session.passes(reader, { brokerCounter: next }))
              hand(next);
          } else if (step.do === 'begin') {
            leave();
            reader = {};
            waiting = session.begin(reader, atOnce);
          } else if (step.do === 'pump' && reader !== undefined) {
            const next = await waiting?.next();
            if (next !== undefined && next.done !== true) hand(next.value.brokerCounter);
          } else if (step.do === 'acknowledge') {
            const carrier = handed[step.which];
            if (carrier === undefined || reader === undefined) continue;
            acknowledged.add(carrier.brokerCounter);
            session.acknowledge(reader, carrier.messageId!);
          } else if (step.do === 'leave') leave();
          expect(session.held.messages).toBeLessThanOrEqual(messages);
        }
        leave();
        const left = counters(await catchUp(session, {}));
        expect(left.some((one) => acknowledged.has(one))).toBe(false);
        // A message may have been delivered, then dropped, then acknowledged.
        expect(left.length + dropped).toBeLessThanOrEqual(counter);
        expect(left.length + dropped + acknowledged.size).toBeGreaterThanOrEqual(counter);
      }),
      { numRuns: 1000 },
    );
  });
});
