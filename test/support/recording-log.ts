import type { Log } from '../../shared/ports.ts';

/** A log that keeps its lines as `level message {fields}` and lets a test wait for one. */
export interface RecordingLog extends Log {
  readonly lines: readonly string[];
  /** Resolves with the first line, past or future, that matches. */
  line(pattern: RegExp): Promise<string>;
}

/** Makes a log that keeps its lines. */
export function recordingLog(): RecordingLog {
  const lines: string[] = [];
  const waiting = new Set<{ pattern: RegExp; resolve: (line: string) => void }>();
  const write = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    const line = `${level} ${message}${fields === undefined ? '' : ` ${JSON.stringify(fields)}`}`;
    lines.push(line);
    for (const one of waiting) {
      if (!one.pattern.test(line)) continue;
      waiting.delete(one);
      one.resolve(line);
    }
  };
  return {
    lines,
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    line: (pattern) => {
      const known = lines.find((line) => pattern.test(line));
      return known === undefined ? new Promise((resolve) => waiting.add({ pattern, resolve })) : Promise.resolve(known);
    },
  };
}
