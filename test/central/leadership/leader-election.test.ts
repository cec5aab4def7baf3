import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LeaderElection } from '../../../central/leadership/leader-election.ts';
import { type Message, silentLog } from '../../../shared/ports.ts';
import { topics } from '../../../shared/protocol/topics.ts';
import { MemoryBroker } from '../../support/memory-bus.ts';

/** Lost if this fails: a frame that arrived while the lease was in doubt stays unhandled until the next one arrives. */

let now = 0;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** A tick is due after 100 ms. */
async function pass(ms: number): Promise<void> {
  now += ms;
  await vi.advanceTimersByTimeAsync(ms);
}

test('a lease that expires and is renewed between two ticks is reported as held again', async () => {
  const bus = new MemoryBroker().bus();
  /** Messages that the network delays; undefined while it does not. */
  let late: (() => void)[] | undefined;
  let said = 0;
  const election = new LeaderElection({
    bus: {
      ...bus,
      subscribe: (filter, qos, handler) =>
        bus.subscribe(filter, qos, (message: Message) => {
          if (late === undefined) handler(message);
          else late.push(() => handler(message));
        }),
    },
    topics: topics('tessera'),
    id: 'left',
    boot: 'b'.repeat(16),
    standby: false,
    isFirst: true,
    floor: 1,
    keepEpoch: () => {},
    onHolds: () => {
      said++;
    },
    onStepDown: () => {},
    onWait: () => {},
    log: silentLog,
  });
  const leading = election.start();
  await pass(100);
  await leading;
  expect(election.holds).toBe(true);

  late = [];
  for (let i = 0; i < 20; i++) await pass(100);
  // The next tick is late.
  while (election.holds) now += 100;
  const before = said;
  for (const deliver of late) deliver();
  expect(election.holds).toBe(true);
  expect(said).toBeGreaterThan(before);
  election.stop();
});
