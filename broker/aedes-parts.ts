import type { Readable } from 'node:stream';
import type { ClientOf } from './connections.ts';

/** The parts of Aedes 1 and aedes-persistence 11 that this broker uses and that their types miss. */

/** A packet as Aedes shows it on its way to a client. */
export interface Packet {
  readonly cmd: string;
  readonly brokerId: string;
  readonly brokerCounter: number;
  readonly topic: string;
  readonly payload: string | Buffer;
  qos: 0 | 1 | 2;
  readonly retain: boolean;
  dup: boolean;
  messageId?: number | undefined;
}

/** A client with the flag that asks for a clean session. */
export interface SessionClient extends ClientOf {
  readonly clean: boolean;
}

/** A subscription as a persistence stores it. */
export interface Subscription {
  readonly topic: string;
  readonly qos: number;
}

/** The methods of a persistence that are replaced or called. */
export interface Persistence {
  cleanSubscriptions(client: { readonly id: string }): Promise<unknown>;
  cleanIncoming?(client: { readonly id: string }): Promise<unknown>;
  addSubscriptions(client: { readonly id: string }, subscriptions: readonly Subscription[]): Promise<unknown>;
  removeSubscriptions(client: { readonly id: string }, filters: readonly string[]): Promise<unknown>;
  outgoingEnqueueCombi(subscriptions: readonly { readonly clientId: string }[], packet: Packet): Promise<void>;
  outgoingUpdate(client: SessionClient, packet: Packet): Promise<void>;
  outgoingClearMessageId(client: SessionClient, packet: Packet): Promise<undefined>;
  outgoingStream(client: SessionClient): Readable;
  createRetainedStreamCombi(
    filters: readonly string[],
  ): AsyncIterable<{ readonly topic: string; readonly payload: Buffer }>;
  incomingGetPacket(client: { readonly id: string }, packet: { readonly messageId?: number }): Promise<unknown>;
}

/** How Aedes numbers messages. */
export interface Numbering {
  readonly id: string;
  /** The number of the newest message. */
  counter: number;
}

/** An Aedes broker. */
export interface AedesParts extends Numbering {
  readonly persistence: Persistence;
  readonly mq: { emit(packet: { qos: number; brokerCounter: number }, done: (error?: Error) => void): void };
  publish(packet: object, client: object | null, done?: (error?: Error | null) => void): void;
}
