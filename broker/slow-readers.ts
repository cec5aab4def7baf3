import type { Duplex } from 'node:stream';

/**
 * What to do about a client that reads more slowly than it is sent.
 *
 * Aedes delivers a message to all of its subscribers, waits until every socket has room again, and reads no further
 * from the publisher meanwhile: one reader that stops would hold up everybody. So nobody waits here (`neverWaits`),
 * and what a reader has not taken is bounded instead:
 *
 *   1. Bulk is dropped for a reader with more than `bytes` unread; it is sent again by those who need it.
 *   2. Anything else is not lost in silence: a reader with more than twice `bytes` unread is closed.
 *   3. No reader has any effect on another.
 *
 * Credit (DESIGN section 1) lies below these caps, so a drop here is a fault to be counted, not flow control.
 */

/** What to do with a message for one reader. */
export type Verdict = 'forward' | 'drop' | 'close';

/** Judges one message for a reader with `unread` bytes waiting, where `bytes` may wait. */
export function judge(unread: number, bulk: boolean, bytes: number): Verdict {
  if (bulk) return unread > bytes ? 'drop' : 'forward';
  return unread > 2 * bytes ? 'close' : 'forward';
}

/** Makes a connection never ask its writer to wait; `writableLength` still says what it has not taken. */
export function neverWaits(conn: Duplex): void {
  const write = conn.write.bind(conn) as (...args: unknown[]) => boolean;
  conn.write = ((...args: unknown[]) => {
    write(...args);
    return true;
  }) as typeof conn.write;
}
