import type { Duplex } from 'node:stream';
import type { Log } from '../shared/ports.ts';
import type { CentralSessionLimits } from './central-session.ts';
import type { ClientSessionLimits } from './client-session.ts';
import type { BrokerCounters } from './counters.ts';
import type { CredentialStore } from './credentials.ts';
import type { ListenTls } from './listen.ts';

/** How to run the broker. */
export interface BrokerOptions {
  /**
   * mqtt://HOST:PORT, mqtts://, ws://, wss://; port 0 takes a free one. Where empty, only `connect` opens connections.
   */
  readonly listen: readonly string[];
  readonly base?: string;
  /** Home Assistant's discovery prefix, default `homeassistant`. */
  readonly prefix?: string | undefined;
  /** Whether clients on this machine may connect without credentials. */
  readonly anonymous: 'loopback' | 'never';
  readonly credentials?: CredentialStore | undefined;
  readonly tls?: ListenTls | undefined;
  /** Bytes, default 1 000 000. */
  readonly maximumPacketSize?: number | undefined;
  /** Host names of WebSocket listeners beside the machine's own; `*.` stands for one level. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Origins of web pages on other hosts that may open WebSockets. */
  readonly allowedOrigins?: readonly string[] | undefined;
  /** Authenticated connections; default 1000. */
  readonly maximumConnections?: number | undefined;
  /** Unread bytes of one slow reader above which tensors and frames for it are dropped, default 16 MiB. */
  readonly slowReaderBytes?: number | undefined;
  /** A connection whose client takes no byte for so long is closed, default 5000. */
  readonly stallMs?: number | undefined;
  /** Frames stored for an absent central, by default for 60 s and 64 MB. */
  readonly centralSession?: CentralSessionLimits | undefined;
  /** Persistent sessions of other clients. */
  readonly clientSessions?: ClientSessionLimits | undefined;
  /** Folder of the sessions, so that they outlive this process; in memory only where it is not given. */
  readonly sessionsFolder?: string | undefined;
  readonly log: Log;
}

/** A running broker. */
export interface RunningBroker {
  /** Its addresses, with the ports that were taken. */
  readonly urls: readonly string[];
  readonly counters: BrokerCounters;
  /** A connection from inside this process, with the rights of a client on this machine, without credentials. */
  connect(): Duplex;
  /** Calls a function with every message that is published, after it was authorized. */
  onPublish(
    listener: (message: {
      readonly topic: string;
      readonly payload: Uint8Array;
      readonly qos: number;
      readonly retain: boolean;
    }) => void,
  ): void;
  /** The retained messages of these filters. */
  retained(filters: readonly string[]): AsyncIterable<{ readonly topic: string; readonly payload: Uint8Array }>;
  /** Closes every connection of a user, whose last will is then published; returns how many there were. */
  expel(user: string): number;
  /** Closes every listener and connection; idempotent, bounded to about two seconds. */
  stop(): Promise<void>;
}
