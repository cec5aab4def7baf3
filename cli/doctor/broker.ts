import type { Failure } from '../../shared/errors.ts';
import type { BrokerStats } from '../../shared/protocol/messages/broker.ts';
import { type Check, checksOf } from './check.ts';

/** Facts of a broker, from connections of the doctor's own. */
export interface BrokerFacts {
  readonly url: string;
  /** Whether the broker is configured; otherwise it is the default. */
  readonly configured: boolean;
  /** Whether the address is of this machine. */
  readonly local: boolean;
  /** What this connection may do by its user name: `node pi-1`, `local`; for people. */
  readonly role: string;
  readonly anonymous: boolean;
  readonly connection: { readonly mqtt: 4 | 5 } | Failure;
  /** Time to open a TCP connection: one way there and back, ms. */
  readonly linkMs: number | undefined;
  /** Times of acknowledged (QoS 1) messages one after another, ms; empty where this role may not publish. */
  readonly roundTripsMs: readonly number[];
  /** Whether a message to a topic of this role's own came back; undefined where it may not publish. */
  readonly echo: boolean | undefined;
  readonly retained: boolean | undefined;
  readonly packet: PacketFacts | undefined;
  /** Subscriptions that this role needs, and why one was refused. */
  readonly subscriptions: readonly { readonly filter: string; readonly refused: string | undefined }[];
  /** What the embedded broker has counted; undefined of another broker, and where this role may not read it. */
  readonly stats: BrokerStats | undefined;
}

/** The largest payload that came back and the smallest that did not, bytes. */
export interface PacketFacts {
  readonly passed: number;
  readonly failed: number | undefined;
  /** The size of parts of tensors and models, and mqtt.maximum_packet_size. */
  readonly needed: number;
  readonly wanted: number;
}

/** Nagle's algorithm against delayed acknowledgements: 40 ms on Linux, 200 on Windows. */
const NAGLE_MS = 30;
const SLOW_LINK_MS = 100;

const { ok, warn, fail, skip } = checksOf('broker');

/** Judges a broker and this role's rights at it. */
export function judgeBroker(facts: BrokerFacts): Check[] {
  const { connection, url } = facts;
  if ('code' in connection) {
    if (!facts.configured)
      return [skip('broker', `none is configured and none answers at ${url}: only this machine was checked`)];
    return [fail('broker', connection.message, connection.hint ?? 'look at the log of the broker')];
  }
  return [
    ok('broker', `${url} answers, MQTT ${connection.mqtt === 5 ? '5' : '3.1.1'}`),
    judgeAccess(facts),
    judgeRoundTrip(facts),
    judgePacket(facts.packet, facts.role),
    judgeRetained(facts),
    ...(facts.stats === undefined ? [] : [judgeStats(facts.stats)]),
  ];
}

function judgeAccess({ role, anonymous, local, subscriptions, echo }: BrokerFacts): Check {
  const refused = subscriptions.filter((one) => one.refused !== undefined);
  const rules =
    '`tessera acl --format mosquitto` prints the rules for Mosquitto; the embedded broker applies them by itself';
  if (refused.length > 0) {
    const text = `${role} may not subscribe ${refused.map(({ filter }) => filter).join(', ')}`;
    return fail('rights', text, `give the user of this connection its rights: ${rules}`);
  }
  if (echo === false)
    return fail(
      'rights',
      `what ${role} publishes on a topic of its own does not come back`,
      `check its rights: ${rules}`,
    );
  if (anonymous && !local)
    return warn(
      'rights',
      'the broker accepts clients without a password',
      'require passwords: every client that reaches it can read every frame and give work to every node',
    );
  if (anonymous)
    return ok('rights', `${role} may do everything, without a password; \`broker.anonymous: never\` would ask for one`);
  return ok('rights', `${role}: everything it needs is allowed`);
}

function judgeRoundTrip({ roundTripsMs, linkMs, role }: BrokerFacts): Check {
  const sorted = [...roundTripsMs].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  if (median === undefined) return skip('round trip', `${role} may not publish, so it was not measured`);
  const link = linkMs ?? 0;
  const text = `an acknowledged message takes ${round(median)} ms (the link alone ${round(link)} ms)`;
  if (median - link > NAGLE_MS)
    return warn(
      'round trip',
      `${text}: the broker delays small packets (Nagle)`,
      'Mosquitto: `set_tcp_nodelay true`; other brokers: enable TCP_NODELAY for their listener',
    );
  if (link > SLOW_LINK_MS)
    return warn('round trip', text, 'a slow link: keep central, broker and nodes near each other, or cut late layers');
  return ok('round trip', text);
}

function judgePacket(packet: PacketFacts | undefined, role: string): Check {
  if (packet === undefined) return skip('packet size', `${role} may not publish, so it was not tried`);
  const { passed, failed, needed, wanted } = packet;
  if (failed === undefined) return ok('packet size', `payloads of ${passed} bytes pass`);
  const text = `payloads of ${passed} bytes pass, of ${failed} bytes do not`;
  const raise = 'raise the limit of the broker (Mosquitto: `max_packet_size`)';
  if (failed <= needed)
    return fail('packet size', `${text}; parts of tensors and models need ${needed}`, `${raise} to ${wanted}`);
  return warn(
    'packet size',
    `${text}; mqtt.maximum_packet_size allows ${wanted}, so larger camera pictures are lost`,
    `${raise}, or set mqtt.maximum_packet_size to ${passed}`,
  );
}

function judgeRetained({ retained, role }: BrokerFacts): Check {
  if (retained === undefined) return skip('retained', `${role} may not publish, so it was not tried`);
  if (retained) return ok('retained', 'the broker stores retained messages');
  return fail(
    'retained',
    'the broker did not store a retained message',
    'allow retained messages (Mosquitto: `retain_available true`): status and results of nodes and cameras need them',
  );
}

/** Refusals protect the broker and are no fault; lost messages are. */
function judgeStats({ uptime_s, connections, published, refused, closed, dropped }: BrokerStats): Check {
  const refusals = countsOf({
    'connections refused': refused.connections + closed.unauthenticated,
    'publishes refused': refused.publishes,
    'subscriptions refused': refused.subscriptions,
    'packets too large': refused.packets,
  });
  const losses = countsOf({
    'frames not stored': refused.frames,
    'slow readers closed': closed.slow_readers,
    'messages dropped for slow readers': dropped.slow_readers,
    'messages dropped above the rate limit': dropped.rate_limit,
    'frames dropped for an absent central': dropped.central_session,
    'messages dropped for absent clients': dropped.client_sessions,
  });
  const text = [
    `in ${(uptime_s / 3600).toFixed(1)} h: ${published} messages, ${connections} connections now`,
    ...losses,
    ...refusals,
  ].join(', ');
  if (losses.length === 0) return ok('traffic', text);
  return warn('traffic', text, 'the log of the broker names the clients; docs/operations.md says what each limit is');
}

const countsOf = (counts: Readonly<Record<string, number>>): string[] =>
  Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]));

const round = (ms: number): string => ms.toFixed(ms < 10 ? 1 : 0);
