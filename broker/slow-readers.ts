import type { Duplex } from 'node:stream';

/**
 * Who may be sent more. Aedes delivers a message to all of its subscribers and waits until every socket has taken it;
 * a reader that stopped would thereby hold delivery slots until everybody else stands still. So a connection that
 * has not drained is sent only so many more messages and bytes, and loses what is beyond: bulk first.
 *
 *   1. At most `messages` messages wait in slots of one connection (twice that where they are not bulk).
 *   2. At most about `bytes` bytes wait at one connection (twice that where they are not bulk).
 *   3. Acknowledged messages that are not bulk (statuses, results) are never dropped in silence: beyond four times
 *      `bytes` the connection is to be closed instead.
 *
 * Credit (DESIGN section 1) lies below these caps, so a drop here is a fault to be counted, not flow control.
 */

/** Limits for one connection. */
export interface ReaderLimits {
  readonly bytes: number;
  readonly messages: number;
}

/** What to do with a message for one connection. */
export type Verdict = 'forward' | 'drop' | 'close';

/** The connection as far as it matters here. */
export type Reader = Pick<Duplex, 'writableLength' | 'writableNeedDrain'>;

/** Judges messages for one connection at a time; see the invariants above. */
export class SlowReaders {
  readonly #limits: ReaderLimits;
  /** Messages forwarded to a connection since it last had room. */
  readonly #waiting = new WeakMap<Reader, number>();

  constructor(limits: ReaderLimits) {
    this.#limits = limits;
  }

  /** Whether `reader` may be sent a message now; counts it where it may. */
  judge(reader: Reader, bulk: boolean, qos: number): Verdict {
    const waiting = reader.writableNeedDrain ? (this.#waiting.get(reader) ?? 0) + 1 : 0;
    const { bytes, messages } = this.#limits;
    if (bulk || qos === 0) {
      const share = bulk ? 1 : 2;
      if (reader.writableLength > share * bytes || waiting > share * messages) return 'drop';
    } else if (reader.writableLength > 4 * bytes || waiting > 4 * messages) {
      return 'close';
    }
    this.#waiting.set(reader, waiting);
    return 'forward';
  }
}
