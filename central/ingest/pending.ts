import type { Message } from '../../shared/ports.ts';

/** Bounds of waiting messages. */
export interface PendingLimits {
  readonly messages: number;
  /** Of payloads. */
  readonly bytes: number;
}

interface Entry {
  readonly message: Message;
  readonly accepted: () => void;
}

/**
 * A bounded queue of messages that wait until they may be accepted. No message is acknowledged before: a broker that keeps
 * the session still has those of QoS 1.
 *
 *   waiting --drain--> accepted        waiting --close--> forgotten, left to the broker
 */
export class PendingMessages {
  readonly #limits: PendingLimits;
  #entries: Entry[] = [];
  #bytes = 0;

  constructor(limits: PendingLimits) {
    this.#limits = limits;
  }

  /** Adds a message; resolves when it is accepted. Undefined where there is no room. */
  add(message: Message): Promise<void> | undefined {
    const { byteLength } = message.payload;
    if (this.#entries.length >= this.#limits.messages || this.#bytes + byteLength > this.#limits.bytes)
      return undefined;
    this.#bytes += byteLength;
    const copy = { ...message, payload: new Uint8Array(message.payload) };
    return new Promise((resolve) => this.#entries.push({ message: copy, accepted: resolve }));
  }

  /** Hands messages over, in order, while `mayAccept` is true. A message is accepted when the promise of `accept` resolves. */
  drain(mayAccept: () => boolean, accept: (message: Message) => Promise<void> | void): void {
    while (this.#entries.length > 0 && mayAccept()) {
      const { message, accepted } = this.#entries.shift()!;
      this.#bytes -= message.payload.byteLength;
      const later = accept(message);
      if (later === undefined) accepted();
      else void later.then(accepted);
    }
  }

  /** Forgets all messages; they are never acknowledged. */
  close(): void {
    this.#entries = [];
    this.#bytes = 0;
  }
}
