import { plain } from '../../shared/log-throttle.ts';
import type { Log } from '../../shared/ports.ts';
import type { ApiLogLine } from './api.ts';

/** Lines that are kept. */
export const COMPLAINTS_KEPT = 200;

/** Keeps the newest warnings and errors of a log. */
export class Complaints {
  readonly #lines: ApiLogLine[] = [];
  readonly #time: () => number;
  /** Is told of each line. */
  onLine: (line: ApiLogLine) => void = () => {};

  /** `time`: Unix seconds. */
  constructor(time: () => number) {
    this.#time = time;
  }

  /** The newest last. */
  get lines(): readonly ApiLogLine[] {
    return this.#lines;
  }

  /** The log, with its complaints kept here too. */
  of(log: Log): Log {
    const keeping =
      (level: ApiLogLine['level']): Log['warn'] =>
      (message, fields) => {
        log[level](message, fields);
        this.#keep({ time: this.#time(), level, text: plain(message) });
      };
    return {
      debug: (message, fields) => log.debug(message, fields),
      info: (message, fields) => log.info(message, fields),
      warn: keeping('warn'),
      error: keeping('error'),
    };
  }

  #keep(line: ApiLogLine): void {
    this.#lines.push(line);
    if (this.#lines.length > COMPLAINTS_KEPT) this.#lines.shift();
    this.onLine(line);
  }
}
