import { Allowances } from './allowances.ts';

/**
 * What of heartbeats is read, by whoever listens to nodes. It is decided by size and pace, before a byte is looked at, so
 * that a node that floods costs no more than its messages cost to receive.
 */

/** Bytes of a heartbeat that are read; nodes name fewer plans rather than say more. */
export const MAX_HEARTBEAT_BYTES = 4096;
/** Heartbeats of a node that are read: at once, and in the long run; it sends one a second. */
const PACE = { burst: 20, perSecond: 4 } as const;

/** Heartbeats as one process reads them. */
export class Heartbeats {
  readonly #allowances = new Allowances(PACE);

  /** Whether one is to be read, or why not: it is too large, or one of too many. */
  judge(topic: string, bytes: number, nowMs: number): 'read' | 'large' | 'often' {
    if (bytes > MAX_HEARTBEAT_BYTES) return 'large';
    return this.#allowances.take(topic, nowMs) ? 'read' : 'often';
  }
}
