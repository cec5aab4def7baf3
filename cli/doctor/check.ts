/** What `tessera doctor` looks at, in the order in which it is shown. */
export type Area = 'machine' | 'state' | 'configuration' | 'ports' | 'broker' | 'nodes' | 'camera';

/** Outcome of a check; `skip`: it cannot be made here, which is no fault. */
export type Status = 'ok' | 'warn' | 'fail' | 'skip';

/** One thing that was looked at. */
export interface Check {
  readonly area: Area;
  readonly name: string;
  readonly status: Status;
  /** The finding, in one sentence. */
  readonly text: string;
  /** How to fix it; always there for `warn` and `fail`. */
  readonly fix?: string;
}

/** Makes the checks of one area. */
export function checksOf(area: Area) {
  const withFix =
    (status: 'warn' | 'fail') =>
    (name: string, text: string, fix: string): Check => ({ area, name, status, text, fix });
  return {
    ok: (name: string, text: string): Check => ({ area, name, status: 'ok', text }),
    skip: (name: string, text: string): Check => ({ area, name, status: 'skip', text }),
    warn: withFix('warn'),
    fail: withFix('fail'),
  };
}

/** Lines for people: one for each check with `fix` below it, and the number of each outcome. */
export function reportLines(checks: readonly Check[]): string[] {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ status, name, text, fix }) => [
    `${status.padEnd(4)}  ${name.padEnd(width)}  ${text}`,
    ...(fix === undefined ? [] : [`${' '.repeat(width + 8)}-> ${fix}`]),
  ]);
  const count = (status: Status): number => checks.filter((check) => check.status === status).length;
  const skipped = count('skip') === 0 ? '' : `, ${count('skip')} skipped`;
  return [...lines, `${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} to fix${skipped}`];
}
