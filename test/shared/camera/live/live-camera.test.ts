import { afterEach, expect, test, vi } from 'vitest';
import { LiveCamera } from '../../../../shared/camera/live/live-camera.ts';
import type { Shot, Source } from '../../../../shared/camera/source.ts';
import { type ConfiguredSource, sourceSettings } from '../../../../shared/camera/source-settings.ts';
import type { SourceReport } from '../../../../shared/protocol/messages/camera.ts';
import { recordingLog } from '../../../support/recording-log.ts';

/** Lost if these fail: old pictures are taken for the present, or what should have stayed on the machine leaves it. */

/** A source whose pictures the test sends. */
class Feed implements Source {
  readonly flows = true;
  stops = 0;
  readonly #waiting: (Shot | Error | undefined)[] = [];
  #wake: () => void = () => {};

  send(next: string | Error | undefined): void {
    this.#waiting.push(typeof next === 'string' ? { id: next, bytes: new TextEncoder().encode(next) } : next);
    this.#wake();
  }

  async next(): Promise<Shot | undefined> {
    while (this.#waiting.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const next = this.#waiting.shift();
    if (next instanceof Error) throw next;
    return next;
  }

  async stop(): Promise<void> {
    this.stops++;
  }
}

const cameras: LiveCamera[] = [];
afterEach(async () => {
  await Promise.all(cameras.splice(0).map((camera) => camera.stop()));
});

function camera(configured: ConfiguredSource = {}, kind: 'http' | 'stdin' = 'http') {
  const feeds: Feed[] = [];
  const reports: SourceReport[] = [];
  const log = recordingLog();
  const source = kind === 'stdin' ? ({ kind } as const) : ({ kind, url: new URL('http://cam/') } as const);
  const edits: string[] = [];
  let wake: () => void = () => {};
  const one = new LiveCamera({
    name: 'front',
    settings: sourceSettings(source, { max_fps: 1000, ...configured }),
    open: async () => {
      feeds.push(new Feed());
      wake();
      return feeds.at(-1)!;
    },
    work: {
      small: async () => new Uint8Array(64 * 36),
      edit: async (bytes) => {
        edits.push(new TextDecoder().decode(bytes));
        return new TextEncoder().encode(`edited ${edits.at(-1)}`);
      },
    },
    side: () => undefined,
    onReport: (report) => reports.push(report),
    log,
  });
  cameras.push(one);
  /** Resolves once the source was opened so often. */
  const opened = async (times: number): Promise<Feed> => {
    while (feeds.length < times)
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    return feeds[times - 1]!;
  };
  return { one, feeds, reports, log, opened, edits };
}

const text = (shot: Shot | undefined): string | undefined => shot && new TextDecoder().decode(shot.bytes);

test('the newest picture wins, and each is given once', async () => {
  const { one, opened } = camera();
  const feed = await opened(1);
  const first = one.next();
  feed.send('a');
  expect(text(await first)).toBe('a');
  for (const name of ['b', 'c', 'd']) feed.send(name);
  await new Promise(setImmediate);
  expect(text(await one.next())).toBe('d');
  const next = one.next();
  feed.send('e');
  expect(text(await next)).toBe('e');
});

test('after a failure the source is opened again, and no picture of before it is given', async () => {
  const { one, opened, reports, log } = camera();
  const feed = await opened(1);
  feed.send('old');
  feed.send(new Error('the cable is out'));
  const again = await opened(2);
  expect(feed.stops).toBe(1);
  const next = one.next();
  again.send('new');
  expect(text(await next)).toBe('new');
  expect(log.lines.join()).toContain('camera front is offline: the cable is out');
  await expect.poll(() => reports.map(({ state }) => state)).toEqual(['online', 'offline', 'online']);
  expect(reports.at(-1)).toMatchObject({ source: 'http', restarts: 1 });
  expect(reports[1]!.reason).toBe('the cable is out');
});

test('a source that is silent for too long is closed and opened again', async () => {
  const { opened, log } = camera({ offline_after_s: 0.05 });
  const feed = await opened(1);
  feed.send('a');
  await opened(2);
  expect(feed.stops).toBe(1);
  expect(log.lines.join()).toContain('no picture for 0.05 s');
});

test('a first picture may take longer than a silence', async () => {
  vi.useFakeTimers();
  try {
    const { one, opened, feeds } = camera({ offline_after_s: 3 });
    const feed = await opened(1);
    await vi.advanceTimersByTimeAsync(19_000);
    feed.send('a');
    expect(text(await one.next())).toBe('a');
    expect(feeds).toHaveLength(1);
  } finally {
    vi.useRealTimers();
  }
});

test('standard input that has ended is not opened again', async () => {
  const { one, opened, feeds } = camera({}, 'stdin');
  const feed = await opened(1);
  feed.send(undefined);
  expect(await one.next()).toBeUndefined();
  expect(feeds).toHaveLength(1);
});

test('with masks no picture leaves as it came', async () => {
  const { one, opened, edits } = camera({ masks: [[0, 0, 1, 1]] });
  const feed = await opened(1);
  feed.send('a');
  expect(text(await one.next())).toBe('edited a');
  expect(edits).toEqual(['a']);
});

test('without motion nothing is edited or given until the heartbeat', async () => {
  const { one, opened, edits } = camera({ motion: true, heartbeat_s: 0.1, crop: [0, 0, 0.5, 0.5] });
  const feed = await opened(1);
  const started = performance.now();
  feed.send('first');
  expect(text(await one.next())).toBe('edited first');
  const next = one.next();
  const sending = setInterval(() => feed.send('same'), 5);
  expect(text(await next)).toBe('edited same');
  clearInterval(sending);
  expect(performance.now() - started).toBeGreaterThan(90);
  expect(edits).toEqual(['first', 'same']);
});

test('stopping ends whoever waits for a picture, and the source', async () => {
  const { one, opened } = camera();
  const feed = await opened(1);
  const next = one.next();
  await one.stop();
  expect(await next).toBeUndefined();
  expect(feed.stops).toBe(1);
});
