import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import { ROLES, userName } from '../../broker/policy.ts';
import { type Bus, silentLog } from '../../shared/ports.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { ACCESS_TABLE } from '../support/access-table.ts';
import { GUARDED_BROKERS, type GuardedBroker, PASSWORD, type User } from '../support/guarded-broker.ts';

/**
 * The table of access rules on running brokers: each role, each topic, both directions. If it fails, a broker enforces
 * other rules than the policy.
 */

const PEOPLE: User[] = ROLES.map((role) => ({
  role,
  name: { central: 'central', node: 'pi-1', camera: 'front', viewer: 'anna', home: 'assistant', admin: 'root' }[role],
}));
const SENTINEL = 'tessera/status';
/** `$SYS` is the broker's own: clients cannot publish it, and it publishes by itself. */
const TOPICS = ACCESS_TABLE.filter(([topic]) => !topic.startsWith('$'));

/** Collects the payloads that arrive on filters, and their topics; `until` waits for a payload. */
async function listen(bus: Bus, filters: readonly string[]) {
  const seen: string[] = [];
  const topics = new Set<string>();
  let wake: () => void = () => {};
  for (const filter of filters) {
    await bus
      .subscribe(filter, 1, ({ topic, payload }) => {
        topics.add(topic);
        seen.push(Buffer.from(payload).toString());
        wake();
      })
      // A broker may refuse a subscription or just deliver nothing.
      .catch(() => {});
  }
  return {
    seen,
    topics,
    async until(payload: string): Promise<void> {
      while (!seen.includes(payload)) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

describe.each(GUARDED_BROKERS)('$name', (kind) => {
  let at: GuardedBroker | undefined;
  const open: Bus[] = [];
  beforeAll(async () => {
    at = await kind.start(PEOPLE);
  });
  afterAll(async () => {
    await Promise.all(open.map((bus) => bus.stop()));
    await at?.stop();
  });
  const connect = async (clientId: string, who: { user?: string; password?: string }): Promise<Bus> => {
    const bus = await connectBus({ url: at!.url, clientId, protocolVersion: 4, log: silentLog, ...who });
    open.push(bus);
    return bus;
  };
  const as = ({ role, name }: User) => ({ user: userName(role, name), password: PASSWORD });

  it.each(PEOPLE)('lets $role publish what the table says, and nothing else', async (who) => {
    if (at === undefined) return console.warn(NO_MOSQUITTO);
    const observer = await connect(`observer-${who.role}`, at.superuser);
    const all = await listen(observer, ['#']);
    for (const [topic, publishers] of TOPICS) {
      const payload = `${who.role} ${topic}`;
      const allowed = publishers.split(' ').includes(who.role);
      // One connection each: the embedded broker closes one that publishes without the right.
      const bus = await connect(`publisher-${who.role}`, as(who));
      if (allowed) await bus.publish(topic, payload, { qos: 1 });
      else await Promise.race([bus.publish(topic, payload, { qos: 1 }).catch(() => {}), closed(bus)]);
      await bus.stop();
      await observer.publish(SENTINEL, `after ${payload}`, { qos: 1 });
      await all.until(`after ${payload}`);
      expect(all.seen.includes(payload), `${who.role} publishes ${topic}`).toBe(allowed);
    }
  });

  it.each(PEOPLE)('lets $role read what the table says, and nothing else', async (who) => {
    if (at === undefined) return console.warn(NO_MOSQUITTO);
    const speaker = await connect(`speaker-${who.role}`, at.superuser);
    for (const [topic, , subscribers] of TOPICS) {
      const allowed = subscribers.split(' ').includes(who.role);
      const bus = await connect(`reader-${who.role}`, as(who));
      const inbox = await listen(bus, topic === SENTINEL ? [topic] : [topic, SENTINEL]);
      await speaker.publish(topic, `to ${topic}`, { qos: 1 });
      await speaker.publish(SENTINEL, `after ${topic}`, { qos: 1 });
      await inbox.until(`after ${topic}`);
      expect(inbox.seen.includes(`to ${topic}`), `${who.role} reads ${topic}`).toBe(allowed);
      await bus.stop();
    }
  });

  it.each(PEOPLE)('delivers nothing to $role by a wildcard that it may not read by name', async (who) => {
    if (at === undefined) return console.warn(NO_MOSQUITTO);
    const speaker = await connect(`speaker-all-${who.role}`, at.superuser);
    const bus = await connect(`reader-all-${who.role}`, as(who));
    const inbox = await listen(bus, ['#', 'tessera/#', 'tessera-wire/#', SENTINEL]);
    for (const [topic] of TOPICS) await speaker.publish(topic, topic, { qos: 1 });
    await speaker.publish(SENTINEL, 'the end', { qos: 1 });
    await inbox.until('the end');
    const readable = TOPICS.filter(([, , readers]) => readers.split(' ').includes(who.role)).map(([topic]) => topic);
    expect([...inbox.topics].filter((topic) => !readable.includes(topic))).toEqual([]);
  });

  it.each(PEOPLE.filter(({ role }) => role === 'camera' || role === 'viewer' || role === 'admin'))(
    'takes no client for a node because the user name of $role could be one',
    async (who) => {
      if (at === undefined) return console.warn(NO_MOSQUITTO);
      const user = userName(who.role, who.name);
      const observer = await connect(`observer-as-node-${who.role}`, at.superuser);
      const all = await listen(observer, ['#']);
      const topics = [`tessera-wire/1/central/result/${user}`, `tessera-wire/1/pi-1/work/${user}`];
      if (who.role !== 'admin') topics.push(`tessera/node/${user}/status`);
      for (const topic of topics) {
        const bus = await connect(`as-node-${who.role}`, as(who));
        await Promise.race([bus.publish(topic, topic, { qos: 1 }).catch(() => {}), closed(bus)]);
        await bus.stop();
        await observer.publish(SENTINEL, `after ${topic}`, { qos: 1 });
        await all.until(`after ${topic}`);
        expect(all.seen).not.toContain(topic);
      }
    },
  );

  it('refuses clients without a password, or with a wrong one', async () => {
    if (at === undefined) return console.warn(NO_MOSQUITTO);
    const { url } = at;
    const attempt = (who: object) => connectBus({ url, clientId: 'x', protocolVersion: 4, log: silentLog, ...who });
    await expect(attempt({ user: 'pi-1', password: 'wrong' })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    await expect(attempt({ user: 'nobody', password: PASSWORD })).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
    if (at.superuser.user !== undefined) await expect(attempt({})).rejects.toMatchObject({ code: 'TESSERA_BROKER' });
  });
});

/** Resolves when a bus has lost its connection. */
async function closed(bus: Bus): Promise<void> {
  while (bus.connected) await new Promise((resolve) => setTimeout(resolve, 2));
}
