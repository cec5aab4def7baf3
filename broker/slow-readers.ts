import type { Duplex } from 'node:stream';

/**
 * Decides what a client that reads more slowly than it is sent loses.
 *
 * Aedes delivers a message to all of its subscribers, waits until every socket has room again, and reads no further
 * from the publisher meanwhile: one reader that stops would hold up every client. Here no write waits (`neverWaits`),
 * and unread bytes are bounded instead:
 *
 *   1. Bulk data is dropped for a reader with more than `bytes` unread; its consumers request it again.
 *   2. No other message is lost silently: a reader with more than twice `bytes` unread is closed.
 *   3. No reader has any effect on another.
 *
 * The credit of senders lies below these bounds, so a drop is a fault to be counted, not flow control.
 */

/** What to do with a message for one reader. */
export type Verdict = 'forward' | 'drop' | 'close';

/** Decides about one message for a reader with `unread` unread bytes, where `bytes` are allowed. */
export function judge(unread: number, bulk: boolean, bytes: number): Verdict {
  if (bulk) return unread > bytes ? 'drop' : 'forward';
  return unread > 2 * bytes ? 'close' : 'forward';
}

/** Makes writes to a connection never wait; `writableLength` still gives its unread bytes. */
export function neverWaits(conn: Duplex): void {
  const write = conn.write.bind(conn) as (...args: unknown[]) => boolean;
  conn.write = ((...args: unknown[]) => {
    write(...args);
    return true;
  }) as typeof conn.write;
}
