/** Ports: small interfaces to the outside, which tests implement in a few lines. */

/** Severity and text; never a payload. */
export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** A log that keeps nothing. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** One received message. `payload` may alias a buffer of the client: copy it before keeping or transferring it. */
export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** True for a retained message from before the subscription. */
  readonly retained: boolean;
  /** True for a redelivery, since the broker saw no acknowledgement the first time (MQTT's DUP flag). */
  readonly redelivered?: boolean;
  /** The trace context that came with it (MQTT 5). */
  readonly traceparent?: string;
}

/** Options of publishing a message. */
export interface PublishOptions {
  readonly qos?: 0 | 1;
  readonly retain?: boolean;
  /** QoS 1 only: the message is given up after this many lost connections; default 3. */
  readonly connections?: number;
  /** QoS 1 only: the trace context that goes with it, where the broker has MQTT 5. */
  readonly traceparent?: string;
}

/** Counters of a bus since its creation. */
export interface BusCounters {
  /** Connections to the broker, the first one too. */
  connections: number;
  /** QoS 0 messages that were dropped while there was no connection. */
  droppedOffline: number;
  /** QoS 1 messages that were rejected: the broker refused them, or each connection that carried them was lost. */
  rejected: number;
}

/** Ends one subscription; others with the same filter go on. Idempotent. */
export type Unsubscribe = () => Promise<void>;

/** An MQTT connection that reconnects by itself. */
export interface Bus {
  /**
   * Resolves when the message was handed to the network (QoS 0) or acknowledged (QoS 1). QoS 0 while offline is dropped
   * and resolves.
   */
  publish(topic: string, payload: Uint8Array | string, options?: PublishOptions): Promise<void>;
  /**
   * Subscribes until the bus stops, across reconnects; resolves, once the broker has it, to what ends it earlier.
   * `handler` must return quickly and never throws.
   */
  subscribe(filter: string, qos: 0 | 1, handler: (message: Message) => void): Promise<Unsubscribe>;
  /** Called after every (re)connection, including the first one, once subscriptions are restored. */
  onConnect(listener: () => void): void;
  readonly connected: boolean;
  /** Bytes waiting to be written to the socket. */
  readonly backlogBytes: number;
  readonly counters: Readonly<BusCounters>;
  /** Publishes pending messages and disconnects, within `timeoutMs` (default 2000). Idempotent. */
  stop(timeoutMs?: number): Promise<void>;
}

/**
 * Content-addressed store of blobs (model weights and skeletons): the key is the lower-case hex SHA-256 of the bytes.
 */
export interface BlobStore {
  /** Folder where each blob is a file named by its SHA-256; the runtime maps weights from there. */
  readonly folder: string;
  has(sha: string): Promise<boolean>;
  size(sha: string): Promise<number | undefined>;
  read(sha: string, offset: number, length: number): Promise<Uint8Array>;
  /** Stores bytes, returns their hash. Writing twice is free. */
  put(bytes: Uint8Array): Promise<string>;
  /** Bytes of a blob that an earlier, interrupted transfer stored, from its start. */
  arrived(sha: string): number;
  /**
   * Opens a writer for a blob that arrives in chunks, resuming an interrupted transfer; `commit` verifies the hash
   * before the blob becomes visible.
   */
  receive(sha: string, size: number): Promise<BlobWriter>;
}

/** A blob that is being received. */
export interface BlobWriter {
  /** Bytes from the start that an earlier transfer stored. They may be wrong; `commit` verifies them. */
  readonly arrived: number;
  /** Accepts chunks in any order, and drops those that are too far ahead. Returns how many of the bytes are new. */
  write(offset: number, bytes: Uint8Array): Promise<number>;
  /** The first range that has not arrived; undefined when all bytes are here. */
  readonly gap: { readonly offset: number; readonly length: number } | undefined;
  /** Throws TesseraError TESSERA_BLOB, and leaves nothing behind, when the bytes do not have the promised hash. */
  commit(): Promise<void>;
  /** Stops the transfer; the contiguous bytes stay for the next try. */
  abort(): Promise<void>;
}
