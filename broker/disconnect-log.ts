import type { LogThrottle } from '../shared/log-throttle.ts';
import { plainName } from '../shared/log-throttle.ts';
import type { Log } from '../shared/ports.ts';
import { type ClientOf, type Connections, ReportedError } from './connections.ts';

/**
 * Why connections end, in the log: whoever is sent away by the broker can read there what to do, once a client and minute.
 * What ends because a network or a client does is nobody's fault, and for those who look closer.
 */

/** Levels that a topic or filter may have; Aedes takes no more. */
export const MAX_TOPIC_LEVELS = 100;
/** A client that speaks MQTT 5 may try 3.1.1 next, as ours do; after so long it did not. */
const FALLBACK_MS = 5000;
/** Clients that may be about to. */
const MAX_FALLBACKS = 100;

const TEXTS: readonly (readonly [pattern: RegExp, level: 'warn' | 'info', text: string])[] = [
  [/too many levels/, 'warn', `a topic has more than ${MAX_TOPIC_LEVELS} levels: use shorter topics and filters`],
  [/keep alive timeout/, 'info', 'the client was silent for longer than the keep-alive that it promised'],
  [/connect did not arrive in time/, 'info', 'its sender did not say who he is in time'],
  [/queue limit/, 'warn', 'it sent too much before it was let in: wait for the CONNACK'],
  [/unacceptable protocol|protocol version/i, 'warn', 'it does not speak MQTT 3.1.1: set the client to that version'],
  [/maxInflightInbound/, 'warn', 'too many messages with QoS 2 are half sent: use QoS 1'],
];
/** The connection went, or was closed for a reason that was said. */
const QUIET = /^(connection closed|drain timeout|premature close|its connection ended)$/i;

/** Who is complained about apart, so that strangers leave room for what is said of clients. */
export interface ThrottledLogs {
  readonly strangers: LogThrottle;
  readonly clients: LogThrottle;
}

/** Says why connections end. */
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

  /** A connection was closed for a fault; `isKnown`: of somebody who was let in. */
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

  /** A client that speaks MQTT 5 was refused: said where it does not come back with 3.1.1. */
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

  /** A client came with a version that is spoken here. */
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
