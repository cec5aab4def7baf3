import { type DestinationStream, pino } from 'pino';
import type { Log } from '../ports.ts';
import { standardError } from './standard-error.ts';

/** Severities from the most verbose one; `silent` writes nothing. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
/** Severity from which a log writes. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How a log writes: `text` a readable line each, `json` an object a line. `stream` defaults to standard error. */
export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** The process or part that writes, for example `node pi-1`. */
  readonly name: string;
  readonly stream?: { write(line: string): unknown };
}

/** A log to standard error (standard output carries results only); pino is imported here and nowhere else. */
export function createLog(options: LogOptions): Log {
  const target = options.stream ?? standardError();
  const stream: DestinationStream = {
    write: (line) => void target.write(options.format === 'json' ? line : textLine(line)),
  };
  const logger = pino(
    {
      name: options.name,
      level: options.level,
      base: { name: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  };
}

/** One JSON line of pino as `12:30:01.250 warn  central  message  key=value`, in local time. */
function textLine(line: string): string {
  const { level, time, name, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(String(time));
  const two = (value: number) => String(value).padStart(2, '0');
  const hms = [clock.getHours(), clock.getMinutes(), clock.getSeconds()].map(two).join(':');
  const rest = Object.entries(fields).map(([key, value]) => `  ${key}=${shown(value)}`);
  const millis = String(clock.getMilliseconds()).padStart(3, '0');
  return `${harmless(`${hms}.${millis} ${String(level).padEnd(5)} ${name}  ${msg ?? ''}${rest.join('')}`)}\n`;
}

/** Ids and texts may come from outside: they must not move a terminal's cursor or change the writing direction. */
function harmless(line: string): string {
  return line.replace(/(?![\n\t])\p{Cc}|[\u202a-\u202e\u2066-\u2069]/gu, '?');
}

function shown(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toFixed(3)));
  return JSON.stringify(value);
}
