import { randomBytes } from 'node:crypto';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Identity, identityOfUser, rulesOf } from '../../broker/policy.ts';
import { type Failure, failureOf, TesseraError } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/loopback.ts';
import type { Bus } from '../../shared/ports.ts';
import { type BrokerStats, brokerStats } from '../../shared/protocol/messages/broker.ts';
import { PART_LIMIT_BYTES } from '../../shared/protocol/parts.ts';
import { topics } from '../../shared/protocol/topics.ts';
import type { BusOptions } from '../../shared/runtime/bus-options.ts';
import { connectBus } from '../../shared/runtime/mqtt.ts';
import { portOf } from '../connect.ts';
import { readJson } from '../frames.ts';
import type { BrokerFacts, PacketFacts } from './broker.ts';

/**
 * Tries a broker over connections with client ids of its own, on topics that no part of Tessera subscribes to. Retained
 * messages that it publishes are removed again. A packet that is too large costs the doctor's
 * own connection and nothing else.
 */

/** How to reach the broker; the doctor sets client ids itself. */
export type BrokerConnection = Omit<BusOptions, 'clientId' | 'will' | 'maximumPacketBytes'>;

const TRIPS = 25;
/** Enough for a slow link; what has not come back by then is taken for lost. */
const ANSWER_MS = 3000;
const RETAINED_TRIES = 3;
const CONNECT_MS = 5000;
/** Room for topic and header in a packet. */
const HEADER_BYTES = 256;

/** What to try it with. */
export interface BrokerQuestion {
  readonly connection: BrokerConnection;
  readonly base: string;
  readonly configured: boolean;
  /** mqtt.maximum_packet_size */
  readonly maximumPacketBytes: number;
}

/** Looks at a broker as the user of this connection. */
export async function lookAtBroker(question: BrokerQuestion): Promise<BrokerFacts> {
  const { connection, base, configured } = question;
  const url = new URL(connection.url);
  const user = connection.user ?? (url.username === '' ? undefined : decodeURIComponent(url.username));
  const identity: Identity = (user === undefined ? undefined : identityOfUser(user)) ?? { role: 'local' };
  url.username = '';
  url.password = '';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const facts: BrokerFacts = {
    url: url.href.replace(/\/$/, ''),
    configured,
    local: isLoopback(host),
    role: identity.role === 'local' ? (user ?? 'anybody on this machine') : `${identity.role} ${identity.name}`,
    anonymous: user === undefined,
    connection: { mqtt: 4 },
    linkMs: undefined,
    roundTripsMs: [],
    echo: undefined,
    retained: undefined,
    packet: undefined,
    subscriptions: [],
    stats: undefined,
  };
  const opened = await open(connection);
  if ('failure' in opened) return { ...facts, connection: opened.failure };
  const { bus, mqtt } = opened;
  const topic = echoTopic(identity, base);
  try {
    const stats = await followStats(bus, base);
    const subscriptions = await trySubscriptions(bus, needed(identity, base));
    const linkMs = await linkTime(host, portOf(url));
    const reached = { ...facts, connection: { mqtt }, subscriptions, linkMs, stats: stats() };
    if (topic === undefined) return reached;
    const echo = await isEchoed(bus, topic);
    if (!echo) return { ...reached, echo };
    return {
      ...reached,
      echo,
      roundTripsMs: await roundTrips(bus, topic),
      retained: await isRetained(connection, mqtt, `${topic}/retained`),
      packet: await tryPackets(question, mqtt, topic),
    };
  } finally {
    await bus.stop();
  }
}

const clientId = (): string => `tessera-doctor-${randomBytes(4).toString('hex')}`;

function connect(connection: BrokerConnection, mqtt: 4 | 5): Promise<Bus> {
  return connectBus({ ...connection, clientId: clientId(), protocolVersion: mqtt, connectTimeoutMs: CONNECT_MS });
}

type Opened = { readonly bus: Bus; readonly mqtt: 4 | 5 } | { readonly failure: Failure };

async function open(connection: BrokerConnection): Promise<Opened> {
  let fault: unknown;
  for (const mqtt of [5, 4] as const) {
    try {
      return { bus: await connect(connection, mqtt), mqtt };
    } catch (error) {
      fault = error;
      // 1 and 132 say that the version is not known; some brokers only close. Anything else is no matter of versions.
      const code = (error as { cause?: { code?: unknown } }).cause?.code;
      if (code !== 1 && code !== 132 && code !== 'CLOSED') break;
    }
  }
  return { failure: failureOf(fault, 'TESSERA_BROKER') };
}

/**
 * A topic that this identity may publish and subscribe and that nothing of Tessera listens to; none for readers and
 * cameras.
 */
function echoTopic(identity: Identity, base: string): string | undefined {
  const own = `doctor-${randomBytes(4).toString('hex')}`;
  switch (identity.role) {
    case 'node':
      return `${base}/node/${identity.name}/${own}`;
    case 'central':
      return `${base}/central/${own}`;
    case 'admin':
      return `${base}/${own}`;
    case 'local':
      // Not under the base: subscribers of `<base>/#` must not receive large test packets.
      return `${base}-doctor/${own}`;
    default:
      return undefined;
  }
}

/** Filters that this identity needs for its work. */
function needed(identity: Identity, base: string): readonly string[] {
  return identity.role === 'local'
    ? [`${base}/#`]
    : rulesOf(identity, base).subscribe.filter((one) => one !== '$SYS/#');
}

/**
 * Follows what the embedded broker counts; the result gives the newest, undefined where this role or broker has none.
 */
async function followStats(bus: Bus, base: string): Promise<() => BrokerStats | undefined> {
  let newest: BrokerStats | undefined;
  const onMessage = ({ payload }: { payload: Uint8Array }): void => {
    newest = brokerStats.safeParse(readJson(payload)).data;
  };
  await bus.subscribe(topics(base).brokerStats, 0, onMessage).catch(() => {});
  return () => newest;
}

async function trySubscriptions(bus: Bus, filters: readonly string[]) {
  const tried: { filter: string; refused: string | undefined }[] = [];
  for (const filter of filters) {
    try {
      const unsubscribe = await bus.subscribe(filter, 0, () => {});
      tried.push({ filter, refused: undefined });
      // Otherwise the doctor would receive all traffic while it measures.
      await unsubscribe();
    } catch (error) {
      tried.push({ filter, refused: failureOf(error).message });
    }
  }
  return tried;
}

/** The least of three times that a TCP connection takes to open. */
async function linkTime(host: string, port: number): Promise<number | undefined> {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const started = performance.now();
    const open = await new Promise<boolean>((resolve) => {
      const socket = createConnection({ host, port, timeout: CONNECT_MS });
      const done = (is: boolean) => () => {
        socket.destroy();
        resolve(is);
      };
      socket.once('connect', done(true)).once('error', done(false)).once('timeout', done(false));
    });
    if (open) times.push(performance.now() - started);
  }
  return times.length === 0 ? undefined : Math.min(...times);
}

async function isEchoed(bus: Bus, topic: string): Promise<boolean> {
  const back = new Promise<boolean>((resolve) => {
    // QoS 0: an acknowledgement of this client between the broker's two packets would hide Nagle's algorithm.
    bus.subscribe(topic, 0, () => resolve(true)).catch(() => resolve(false));
  });
  const sent = bus.publish(topic, 'echo', { qos: 1 }).catch(() => {});
  return Promise.race([sent.then(() => back), sleep(ANSWER_MS, false)]);
}

/**
 * Acknowledged messages one at a time; each comes back to this connection too, so that the broker writes two packets,
 * the second of which Nagle's algorithm holds back until the first is acknowledged.
 */
async function roundTrips(bus: Bus, topic: string): Promise<number[]> {
  const times: number[] = [];
  const end = performance.now() + ANSWER_MS;
  for (let i = 0; i < TRIPS && performance.now() < end; i++) {
    const started = performance.now();
    await bus.publish(topic, `trip ${i}`, { qos: 1 });
    times.push(performance.now() - started);
  }
  return times;
}

/** On a connection of its own: a broker that keeps nothing may close it. */
async function isRetained(connection: BrokerConnection, mqtt: 4 | 5, topic: string): Promise<boolean> {
  const bus = await connect(connection, mqtt);
  const isKept = async (): Promise<boolean> => {
    let onMessage: (isRetained: boolean) => void = () => {};
    const came = new Promise<boolean>((resolve) => {
      onMessage = resolve;
    });
    const unsubscribe = await bus.subscribe(topic, 1, ({ retained }) => onMessage(retained));
    const kept = await Promise.race([came, sleep(ANSWER_MS / RETAINED_TRIES, false)]);
    await unsubscribe();
    return kept;
  };
  const kept = async (): Promise<boolean> => {
    await bus.publish(topic, 'kept', { qos: 1, retain: true });
    // A broker may acknowledge before it has stored the message: then a later subscription finds it.
    for (let i = 0; i < RETAINED_TRIES && bus.connected; i++) {
      if (await isKept()) return true;
    }
    return false;
  };
  try {
    return await Promise.race([kept().catch(() => false), sleep(2 * ANSWER_MS, false)]);
  } finally {
    if (bus.connected) await Promise.race([bus.publish(topic, '', { qos: 1, retain: true }), sleep(ANSWER_MS)]);
    await bus.stop(500);
  }
}

/** Sends growing payloads with QoS 0, each on a connection of its own, until one does not come back. */
async function tryPackets(question: BrokerQuestion, mqtt: 4 | 5, topic: string): Promise<PacketFacts> {
  const needed = PART_LIMIT_BYTES;
  const wanted = Math.max(question.maximumPacketBytes - HEADER_BYTES, 4096);
  const passes = (bytes: number) => passesBroker(question.connection, mqtt, `${topic}/packet`, bytes);
  let passed = 0;
  let failed: number | undefined;
  for (const bytes of [needed, wanted].sort((a, b) => a - b)) {
    if (await passes(bytes)) passed = bytes;
    else {
      failed = bytes;
      break;
    }
  }
  // The limit to within a tenth.
  while (failed !== undefined && failed - passed > Math.max(1024, passed / 10)) {
    const bytes = Math.floor((passed + failed) / 2);
    if (await passes(bytes)) passed = bytes;
    else failed = bytes;
  }
  return { passed, failed, needed, wanted };
}

async function passesBroker(connection: BrokerConnection, mqtt: 4 | 5, topic: string, bytes: number): Promise<boolean> {
  const bus = await connect(connection, mqtt);
  try {
    let connections = 0;
    const outcome = new Promise<boolean>((resolve) => {
      bus.subscribe(topic, 0, ({ payload }) => resolve(payload.byteLength === bytes)).catch(() => resolve(false));
      // A second connection means that the broker closed the first.
      bus.onConnect(() => {
        if (++connections > 1) resolve(false);
      });
    });
    const sent = bus.publish(topic, new Uint8Array(bytes)).then(
      () => undefined,
      // The broker has said (MQTT 5) that it takes less, and nothing was sent.
      (error: unknown) => (error instanceof TesseraError ? false : undefined),
    );
    const refused = await sent;
    return refused ?? (await Promise.race([outcome, sleep(ANSWER_MS, false)]));
  } finally {
    await bus.stop(500);
  }
}
