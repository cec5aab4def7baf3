import { afterEach, describe, expect, it } from 'vitest';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { startBroker } from '../../broker/broker.ts';
import { type Bus, type Message, silentLog } from '../../shared/ports.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';

/**
 * Acknowledgements that are withheld until a message is accepted, with real brokers. Lost if these fail: frames that a
 * central has received but not accepted are lost when another one takes over, though their camera believes them
 * delivered.
 */

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const SERVERS: Record<string, () => Promise<string | undefined>> = {
  async 'the built-in broker'() {
    const broker = await startBroker({ listen: ['mqtt://127.0.0.1:0'], anonymous: 'loopback', log: silentLog });
    stops.push(() => broker.stop());
    return broker.urls[0];
  },
  async Mosquitto() {
    const broker = await startMosquitto();
    stops.push(() => broker?.stop());
    return broker?.url;
  },
};

async function bus(url: string, clientId: string, more: Partial<BusOptions> = {}): Promise<Bus> {
  const made = await connectBus({ url, clientId, log: silentLog, ...more });
  stops.push(() => made.stop());
  return made;
}

describe.each(Object.entries(SERVERS))('at %s', (_name, start) => {
  it('a message that is not acknowledged is redelivered on the next connection, one that is acknowledged late is not, and neither delays others', async ({
    skip,
  }) => {
    const url = await start();
    if (url === undefined) return skip(NO_MOSQUITTO);
    const camera = await bus(url, 'camera');
    const taken = new Map<string, () => void>();
    const texts: string[] = [];
    const again: string[] = [];
    const central = (handler: (message: Message) => Promise<void> | undefined): Promise<Bus> =>
      bus(url, 'tessera-central', {
        sessionSec: 60,
        subscriptions: [{ filter: 'tessera/input/#', qos: 1, handler }],
      });
    const first = await central(({ payload }) => {
      const text = Buffer.from(payload).toString();
      texts.push(text);
      if (text.startsWith('now')) return undefined;
      return new Promise((resolve) => taken.set(text, resolve));
    });
    const publish = (text: string) => camera.publish('tessera/input/front', text, { qos: 1 });
    for (const text of ['never 1', 'now 1', 'late 1', 'never 2', 'late 2', 'now 2']) await publish(text);
    await expect.poll(() => texts).toHaveLength(6);
    taken.get('late 2')!();
    taken.get('late 1')!();
    // The connection stays open, and later messages on it are acknowledged.
    await publish('now 3');
    await expect.poll(() => texts).toHaveLength(7);
    await first.stop();
    taken.get('never 1')!();

    await central(({ payload, redelivered }) => {
      again.push(`${Buffer.from(payload)}${redelivered ? ', again' : ''}`);
      return undefined;
    });
    await publish('last');
    await expect.poll(() => again).toContain('last');
    expect(again).toEqual(['never 1, again', 'never 2, again', 'last']);
  });
});
