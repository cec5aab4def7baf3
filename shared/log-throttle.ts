import { counted } from './counted.ts';
import type { Log } from './ports.ts';

/**
 * Limits warnings about the network's input, so that other clients cannot fill the log: one line per subject and
 * minute, with the number of lines that were suppressed since.
 *
 * 1. Subjects come from the network: at most `SUBJECTS` are remembered, and lines in all are bounded per minute.
 * 2. Text from outside is shortened and kept on one line, so that it cannot imitate another log line.
 */

const INTERVAL_MS = 60_000;
const SUBJECTS = 1000;
/** Lines per minute beyond which new subjects are suppressed too, since a client can use any number of names. */
const LINES = 100;
const TEXT_LENGTH = 300;

/** A text from outside as a log shows it: one line, no control characters, at most 300 characters. */
export function plain(text: string): string {
  const cut = text.length > TEXT_LENGTH ? `${text.slice(0, TEXT_LENGTH - 3)}...` : text;
  // Control characters, and characters that change the writing direction or end a line.
  return cut.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

const NAME_LENGTH = 64;

/** A name from outside as a log shows it: as `plain`, at most 64 characters. */
export const plainName = (name: string): string =>
  plain(name.length > NAME_LENGTH ? `${name.slice(0, NAME_LENGTH - 3)}...` : name);

/** The throttled log of one part of a program; `now` is any steady clock, milliseconds. */
export class LogThrottle {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #subjects = new Map<string, { at: number; kept: number }>();
  #windowAt = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #kept = 0;

  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** Logs a warning about `subject`, or counts it where one was logged within the last minute. */
  warn(subject: string, text: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#say('warn', subject, text, fields);
  }

  /** The same for events that are no fault. */
  info(subject: string, text: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#say('info', subject, text, fields);
  }

  #say(level: 'warn' | 'info', subject: string, text: string, fields: Readonly<Record<string, unknown>>): void {
    const now = this.#now();
    const known = this.#subjects.get(subject);
    if (known !== undefined && now - known.at < INTERVAL_MS) {
      known.kept++;
      return;
    }
    if (now - this.#windowAt >= INTERVAL_MS) this.#newWindow(now);
    if (this.#lines >= LINES) {
      this.#kept++;
      return;
    }
    this.#lines++;
    this.#subjects.delete(subject);
    const oldest = this.#subjects.keys().next().value;
    if (this.#subjects.size >= SUBJECTS && oldest !== undefined) this.#subjects.delete(oldest);
    this.#subjects.set(subject, { at: now, kept: 0 });
    const since = known === undefined || known.kept === 0 ? {} : { before: known.kept };
    this.#log[level](plain(text), { ...fields, ...since });
  }

  #newWindow(now: number): void {
    if (this.#kept > 0) this.#log.warn(`left out in the last minute: ${counted(this.#kept, 'warning')}`);
    this.#windowAt = now;
    this.#lines = 0;
    this.#kept = 0;
  }
}
