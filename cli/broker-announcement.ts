import { hostname } from 'node:os';
import type { Announced } from '../shared/discovery.ts';
import { isLoopback } from '../shared/loopback.ts';
import type { Log } from '../shared/ports.ts';
import { portOf } from './connect.ts';

/** Addresses that stand for every network of the machine. */
const ALL: readonly string[] = ['0.0.0.0', '::'];

/**
 * What the local network is told of a broker at `urls`: its protected listener, else its plain one. Undefined where no
 * other machine reaches it by MQTT.
 */
export function announcementOf(
  urls: readonly string[],
  about: Pick<Announced, 'base' | 'keys'> & { readonly role: 'broker' | 'central' },
  machine = hostname(),
): Announced | undefined {
  const { role, base, keys } = about;
  const reached = urls
    .map((url) => new URL(url))
    .map((url) => ({ url, host: url.hostname.replace(/^\[|\]$/g, '') }))
    .filter(({ host }) => !isLoopback(host) && (ALL.includes(host) || !host.includes(':')));
  const best = ['mqtts:', 'mqtt:'].flatMap((scheme) => reached.filter(({ url }) => url.protocol === scheme))[0];
  if (best === undefined) return undefined;
  const own = machine
    .toLowerCase()
    .replace(/\..*$/, '')
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 32);
  const port = portOf(best.url);
  return {
    instance: `tessera-${role}-${own}-${port}`,
    base,
    keys,
    scheme: best.url.protocol === 'mqtts:' ? 'mqtts' : 'mqtt',
    port,
    host: ALL.includes(best.host) ? undefined : best.host,
  };
}

/** Announces one broker after the other: what is said now replaces what was said before. */
export class BrokerAnnouncement {
  readonly #log: Log;
  #done: Promise<unknown> = Promise.resolve();
  #take: () => Promise<void> = async () => {};

  constructor(log: Log) {
    this.#log = log;
  }

  /** Says nothing any more where `announced` is undefined. */
  say(announced: Announced | undefined): void {
    this.#done = this.#done.then(async () => {
      await this.#take();
      this.#take = async () => {};
      if (announced === undefined) return;
      const { announce } = await import('../shared/runtime/mdns.ts');
      this.#take = announce(announced, this.#log);
      this.#log.info(`the broker is announced in the local network as ${announced.instance}`);
    });
  }

  async stop(): Promise<void> {
    this.say(undefined);
    await this.#done;
  }
}
