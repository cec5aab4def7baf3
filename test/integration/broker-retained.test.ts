import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBroker } from '../../broker/broker.ts';
import type { RunningBroker } from '../../broker/broker-options.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

let broker: RunningBroker;
let bus: Bus;
beforeAll(async () => {
  broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
  bus = await connectBus({ url: broker.urls[0]!, clientId: 'somebody', log: silentLog });
});
afterAll(async () => {
  await bus.stop();
  await broker.stop();
});

/** The messages that the broker retains under a filter: waits for so many, and then a moment for unexpected ones. */
async function kept(filter: string, count: number): Promise<string[]> {
  const late = await connectBus({ url: broker.urls[0]!, clientId: 'late', log: silentLog });
  const topics: string[] = [];
  await late.subscribe(filter, 1, ({ topic, retained }) => {
    if (retained) topics.push(topic);
  });
  await expect.poll(() => topics.length, { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  await late.publish('tick', 'x', { qos: 1 });
  await late.stop();
  return topics.sort();
}

it('retains states but no frames, whose ids would fill its memory', async () => {
  const seen: string[] = [];
  await bus.subscribe('tessera/#', 1, ({ topic }) => seen.push(topic));
  await bus.publish('tessera/node/pi-1/status', 'online', { qos: 1, retain: true });
  for (let k = 0; k < 50; k++)
    await bus.publish(`tessera/input/front/${k}`, new Uint8Array(10_000), { qos: 1, retain: true });
  expect(await kept('tessera/#', 1)).toEqual(['tessera/node/pi-1/status']);
  expect(seen.length).toBe(51);
  expect(broker.counters.not_retained).toBe(50);
});

it('delivers messages that it cannot retain, and keeps the retained ones', async () => {
  for (let k = 0; k < 5200; k++) await bus.publish(`other/${k}`, 'x', { qos: 1, retain: true });
  await bus.publish('tessera/node/pi-1/status', 'offline', { qos: 1, retain: true });
  expect((await kept('other/#', 4999)).length).toBe(4999);
  await bus.publish('other/0', '', { qos: 1, retain: true });
  expect((await kept('other/#', 4998)).length).toBe(4998);
});
