import type { Message } from '../../shared/ports.ts';

/** Bounds of what is held. */
export interface PendingLimits {
  readonly messages: number;
  /** Of payloads. */
  readonly bytes: number;
}

interface Entry {
  readonly message: Message;
  readonly taken: () => void;
}

/**
 * Messages that wait while they must not be taken in. None of them is acknowledged before
 * it is taken in: a broker that keeps the session has those of QoS 1 still, for this central or for its successor.
 *
 *   held --take--> taken in, acknowledged        held --close--> forgotten: the broker's
 *
 * 1. They are taken in the order in which they came.
 * 2. Not more than the limits say is held.
 */
export class PendingMessages {
  readonly #limits: PendingLimits;
  #entries: Entry[] = [];
  #bytes = 0;

  constructor(limits: PendingLimits) {
    this.#limits = limits;
  }

  /** Holds a message; resolves when it is taken in. Undefined where there is no room. */
  hold(message: Message): Promise<void> | undefined {
    const { byteLength } = message.payload;
    if (this.#entries.length >= this.#limits.messages || this.#bytes + byteLength > this.#limits.bytes)
      return undefined;
    this.#bytes += byteLength;
    const copy = { ...message, payload: new Uint8Array(message.payload) };
    return new Promise((resolve) => this.#entries.push({ message: copy, taken: resolve }));
  }

  /** Hands over what is held, for as long as `may` says so. */
  take(may: () => boolean, onMessage: (message: Message) => Promise<void> | void): void {
    while (this.#entries.length > 0 && may()) {
      const { message, taken } = this.#entries.shift()!;
      this.#bytes -= message.payload.byteLength;
      const later = onMessage(message);
      if (later === undefined) taken();
      else void later.then(taken);
    }
  }

  /** Forgets what is held; it is never acknowledged. */
  close(): void {
    this.#entries = [];
    this.#bytes = 0;
  }
}
