import type { Duplex } from 'node:stream';
import type { Log } from '../shared/ports.ts';
import type { CentralSessionLimits } from './central-session.ts';
import type { ClientSessionLimits } from './client-sessions.ts';
import type { BrokerCounters } from './counters.ts';
import type { CredentialStore } from './credentials.ts';
import type { ListenTls } from './listen.ts';

/** How to run the broker. */
export interface BrokerOptions {
  /** mqtt://HOST:PORT, mqtts://, ws://, wss://; port 0 takes a free one. May be empty: then only `connect` leads in. */
  readonly listen: readonly string[];
  readonly base?: string;
  /** Whether connections from this machine may come without credentials. */
  readonly anonymous: 'loopback' | 'never';
  readonly credentials?: CredentialStore | undefined;
  readonly tls?: ListenTls | undefined;
  /** Bytes, default 1 000 000. */
  readonly maximumPacketSize?: number | undefined;
  /** Names beside its own under which WebSocket listeners are reached; `*.` stands for one level. */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Origins of web pages that may open WebSockets, beside those on the same host. */
  readonly allowedOrigins?: readonly string[] | undefined;
  /** Of clients that have said who they are; default 1000. */
  readonly maximumConnections?: number | undefined;
  /** Bytes that may wait at one slow reader before bulk for it is dropped, default 16 MiB. */
  readonly slowReaderBytes?: number | undefined;
  /** A connection with bytes to write that takes none for so long is closed, default 5000. */
  readonly stallMs?: number | undefined;
  /** What is kept for a central that is away, by default for 60 s and 64 MB. */
  readonly centralSession?: CentralSessionLimits | undefined;
  /** What is kept for other clients that ask for a session. */
  readonly clientSessions?: ClientSessionLimits | undefined;
  /** Where all of that lies, so that it outlives this process; not given: in memory only. */
  readonly sessionsFolder?: string | undefined;
  readonly log: Log;
}

/** The broker at work. */
export interface RunningBroker {
  /** Where it listens, with the ports that were taken. */
  readonly urls: readonly string[];
  readonly counters: BrokerCounters;
  /** A connection from inside this process, with the rights of one from this machine, whoever else needs a password. */
  connect(): Duplex;
  /** Closes every connection of a user, whose last will is then published; returns how many there were. */
  expel(user: string): number;
  /** Closes every listener and connection; idempotent, bounded to about two seconds. */
  stop(): Promise<void>;
}
