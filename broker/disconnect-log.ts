import type { LogThrottle } from '../shared/log-throttle.ts';
import { plainName } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import { type ClientOf, type Connections, ReportedError } from './connections.ts';

/**
 * Logs why connections end and what to change, once a client, cause and minute. Ends that a network or a client causes
 * are logged at level debug.
 */

/** Levels that a topic or filter may have; Aedes accepts no more. */
export const MAX_TOPIC_LEVELS = 100;
/** A client that speaks MQTT 5 may retry with 3.1.1 within this time, as Tessera's own do. */
const FALLBACK_MS = 5000;
/** Clients whose retry is awaited. */
const MAX_FALLBACKS = 100;

const TEXTS: readonly (readonly [pattern: RegExp, level: 'warn' | 'info', text: string])[] = [
  [/too many levels/, 'warn', `a topic has more than ${MAX_TOPIC_LEVELS} levels: use shorter topics and filters`],
  [/keep alive timeout/, 'info', 'the client was silent for longer than its keep-alive'],
  [/connect did not arrive in time/, 'info', 'its client did not authenticate in time'],
  [/queue limit/, 'warn', 'it sent too much before it was authenticated: wait for the CONNACK'],
  [/unacceptable protocol|protocol version/i, 'warn', 'it does not speak MQTT 3.1.1: set the client to that version'],
  [/maxInflightInbound/, 'warn', 'too many QoS 2 messages are in flight: use QoS 1'],
];
/** Ends without a fault, or whose cause was logged already. */
const QUIET = /^(connection closed|drain timeout|premature close|its connection ended)$/i;

/** Separate quotas of log lines, so that strangers leave room for lines about authenticated clients. */
export interface ThrottledLogs {
  readonly strangers: LogThrottle;
  readonly clients: LogThrottle;
}

/** Logs why connections end. */
export class DisconnectLog {
  readonly #connections: Pick<Connections, 'who'>;
  readonly #throttledLogs: ThrottledLogs;
  readonly #log: Log;
  readonly #fallbacks = new Map<string, NodeJS.Timeout>();

  constructor(connections: Pick<Connections, 'who'>, throttledLogs: ThrottledLogs, log: Log) {
    this.#connections = connections;
    this.#throttledLogs = throttledLogs;
    this.#log = log;
  }

  /** A connection was closed for a fault; `isKnown`: its client was authenticated. */
  closed(client: ClientOf, error: Error & { readonly code?: string }, isKnown: boolean): void {
    const who = this.#connections.who(client);
    if (error instanceof ReportedError || error.code !== undefined || QUIET.test(error.message)) {
      this.#log.debug(`a connection ended: ${error.message}`, who);
      return;
    }
    const [, level, reason] = TEXTS.find(([pattern]) => pattern.test(error.message)) ?? ['', 'warn', error.message];
    const throttledLogs = isKnown ? this.#throttledLogs.clients : this.#throttledLogs.strangers;
    const subject = `ended ${who.remote} ${isKnown ? who.client : ''} ${reason}`;
    throttledLogs[level as 'warn' | 'info'](subject, `a connection was closed: ${reason}`, who);
  }

  /** A client that speaks MQTT 5 was refused; logged unless it comes back with 3.1.1. */
  refusedVersion(clientId: string, remote: string | undefined): void {
    const key = `${remote} ${clientId}`;
    clearTimeout(this.#fallbacks.get(key));
    this.#fallbacks.delete(key);
    if (this.#fallbacks.size >= MAX_FALLBACKS) {
      this.#sayVersion(clientId, remote);
      return;
    }
    const timer = setTimeout(() => {
      this.#fallbacks.delete(key);
      this.#sayVersion(clientId, remote);
    }, FALLBACK_MS);
    this.#fallbacks.set(key, timer.unref());
  }

  /** A client came with MQTT 3.1.1. */
  cameBack(clientId: string, remote: string | undefined): void {
    const key = `${remote} ${clientId}`;
    clearTimeout(this.#fallbacks.get(key));
    this.#fallbacks.delete(key);
  }

  stop(): void {
    for (const timer of this.#fallbacks.values()) clearTimeout(timer);
    this.#fallbacks.clear();
  }

  #sayVersion(clientId: string, remote: string | undefined): void {
    const client = plainName(clientId);
    const text =
      'a client that speaks MQTT 5 only was refused: set it to version 3.1.1, or use Mosquitto in place of this broker';
    this.#throttledLogs.strangers.warn(`version ${remote} ${client}`, text, { client, remote });
  }
}
