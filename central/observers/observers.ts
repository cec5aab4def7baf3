import { LogThrottle } from '../../shared/log-throttle.ts';
import type { Log } from '../../shared/ports.ts';
import type { Observer } from './observer.ts';

/** The observers of one active central. If an observer throws, the error is logged; the others still get the event. */
export class Observers {
  readonly #list: readonly Observer[];
  readonly #throttledLog: LogThrottle;

  constructor(list: readonly Observer[], log: Log) {
    this.#list = list;
    this.#throttledLog = new LogThrottle(log, () => performance.now());
  }

  /** Calls one member of every observer that has it. */
  tell<K extends keyof Observer>(event: K, ...args: Parameters<NonNullable<Observer[K]>>): void {
    for (const observer of this.#list) {
      try {
        (observer[event] as ((...args: unknown[]) => void) | undefined)?.apply(observer, args);
      } catch (error) {
        const { name } = observer.constructor;
        const text = error instanceof Error ? error.stack : String(error);
        this.#throttledLog.warn(`${name} ${event}`, `observer ${name} failed on ${event}: ${text}`);
      }
    }
  }
}
