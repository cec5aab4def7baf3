import { expect, test } from 'vitest';
import { PublishRates } from '../../broker/publish-rates.ts';

/** If these fail, one node's flood delays all clients, or results of a busy node are lost. */

const RESULT = 'tessera-wire/1/central/result/pi-1';

function passed(
  rates: PublishRates,
  client: object,
  topic: string,
  count: number,
  bytes: number,
  everyMs: number,
): number {
  let through = 0;
  for (let k = 0; k < count; k++) if (!rates.isOver(client, topic, bytes, k * everyMs)) through++;
  return through;
}

test('of a node that floods for ten seconds only its rate passes, and everything of another node', () => {
  const rates = new PublishRates('tessera');
  const through = passed(rates, {}, RESULT, 40_000, 100, 0.25);
  expect(through).toBeGreaterThan(10_000);
  expect(through).toBeLessThan(12_500);
  expect(passed(rates, {}, RESULT, 1000, 100, 10)).toBe(1000);
});

test('a node that stopped flooding has its full rate again', () => {
  const rates = new PublishRates('tessera');
  const client = {};
  passed(rates, client, RESULT, 40_000, 100, 0.25);
  expect(rates.isOver(client, RESULT, 100, 10_001)).toBe(false);
});

test('the results of a large frame at once, and 400 messages of 256 KiB a second for a minute, pass', () => {
  const rates = new PublishRates('tessera');
  expect(passed(rates, {}, RESULT, 1000, 256 * 1024, 0)).toBe(1000);
  expect(passed(rates, {}, RESULT, 24_000, 256 * 1024, 2.5)).toBe(24_000);
});

test("a node's heartbeats and info have a rate of their own", () => {
  const rates = new PublishRates('tessera');
  const client = {};
  expect(passed(rates, client, 'tessera/node/pi-1/heartbeat', 5000, 300, 0)).toBeLessThanOrEqual(201);
  expect(rates.isOver(client, RESULT, 100, 0)).toBe(false);
});

test('cameras, viewers and central have no limit', () => {
  const rates = new PublishRates('tessera');
  for (const topic of ['tessera-wire/1/pi-1/work/central', 'tessera/input/front', 'tessera/request/x', 'other/node/a'])
    expect(passed(rates, {}, topic, 50_000, 1e6, 0)).toBe(50_000);
});
