import { expect, test } from 'vitest';
import { pacer, type Step, showProgress, stepText } from '../../cli/progress.ts';

/** If these fail, people wait for hours without knowing, or a log fills up with progress. */

const pictures = (done: number, of: number | null = 100, work = 'verify'): Step => ({
  work,
  done,
  of,
  unit: 'pictures',
});

test('rate and time left are those of the work since it began, or went on', () => {
  let at = 0;
  const pace = pacer(() => at);
  expect(pace(pictures(40))).toMatchObject({ per_s: null, left_s: null });
  at = 10_000;
  expect(pace(pictures(60))).toMatchObject({ per_s: 2, left_s: 20 });
  expect(pace(pictures(5, null, 'download'))).toMatchObject({ per_s: null, left_s: null });
  at = 11_000;
  expect(pace(pictures(8, null, 'download'))).toMatchObject({ per_s: 3, left_s: null });
});

test('words', () => {
  const bytes = { work: 'download', done: 34e6, of: 59e6, unit: 'bytes' } as const;
  expect(stepText({ ...bytes, per_s: 2.4e6, left_s: 11 })).toBe(
    'download: 34.0 of 59.0 MB, 2.4 MB a second, 11 s left',
  );
  expect(stepText({ ...bytes, of: null, per_s: null, left_s: null })).toBe('download: 34.0 MB');
  const step = { ...pictures(3), what: 'strips' };
  expect(stepText({ ...step, per_s: 0.5, left_s: 194 })).toBe(
    'verify, strips: 3 of 100 pictures, 0.5 a second, 3 minutes left',
  );
});

/** What is shown of a step every 100 ms for ten seconds. */
function shown(json: boolean): { lines: string[]; events: unknown[] } {
  let at = 0;
  const lines: string[] = [];
  const events: unknown[] = [];
  const out = { progress: (line: string) => void lines.push(line), event: (value: unknown) => void events.push(value) };
  const report = showProgress({ json, out }, () => at);
  for (let done = 0; done <= 100; done++, at += 100) report(pictures(done));
  return { lines, events };
}

test('people get a line after two seconds, then every five', () => {
  const { lines, events } = shown(false);
  expect(events).toEqual([]);
  expect(lines).toEqual([
    'verify: 20 of 100 pictures, 10.0 a second, 8 s left',
    'verify: 70 of 100 pictures, 10.0 a second, 3 s left',
  ]);
});

test('programs get an event a second, the first and the last step among them', () => {
  const { lines, events } = shown(true);
  expect(lines).toEqual([]);
  expect(events).toHaveLength(11);
  expect(events[0]).toEqual({ event: 'progress', ...pictures(0), per_s: null, left_s: null });
  expect(events.at(-1)).toMatchObject({ done: 100, of: 100, per_s: 10, left_s: 0 });
});
