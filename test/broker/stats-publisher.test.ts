import { afterEach, expect, test, vi } from 'vitest';
import { newCounters } from '../../broker/counters.ts';
import { publishStats } from '../../broker/stats-publisher.ts';
import { brokerStats } from '../../shared/protocol/messages/broker.ts';

/** Without it operators do not see what the broker refused or dropped. */
afterEach(() => vi.useRealTimers());

test('every ten seconds the counts of that moment are published, retained, until it is stopped', () => {
  vi.useFakeTimers();
  const published: { topic: string; payload: Buffer; retain: boolean }[] = [];
  const counters = newCounters();
  const stop = publishStats({ publish: (packet) => published.push(packet as never) }, 'home', counters);
  counters.refused.connections = 3;
  vi.advanceTimersByTime(10_000);
  counters.dropped.rate_limit = 7;
  vi.advanceTimersByTime(10_000);
  stop();
  vi.advanceTimersByTime(60_000);
  expect(published).toMatchObject(Array(2).fill({ topic: 'home/broker/stats', retain: true }));
  const [first, second] = published.map(({ payload }) => brokerStats.parse(JSON.parse(payload.toString())));
  expect(first).toMatchObject({ uptime_s: 10, refused: { connections: 3 }, dropped: { rate_limit: 0 } });
  expect(second).toMatchObject({ uptime_s: 20, dropped: { rate_limit: 7 } });
});
