import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServiceNotices } from '../../../shared/runtime/service-notices.ts';

/** If it fails, systemd restarts a service that is well, or lets one hang. */

const ENV = { NOTIFY_SOCKET: '/run/systemd/notify', WATCHDOG_USEC: '30000000' };
const PERIOD_MS = 10_000;

describe('what a service tells systemd', () => {
  let sent: string[];
  const started = (env: Readonly<Record<string, string>>): ServiceNotices => {
    sent = [];
    const notices = new ServiceNotices(env, (notice) => sent.push(notice));
    notices.ready();
    return notices;
  };
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is nothing where systemd did not start it', async () => {
    started({}).stop();
    await vi.advanceTimersByTimeAsync(PERIOD_MS);
    expect(sent).toEqual([]);
  });

  it('is that it runs and stops, where no watchdog is wanted', async () => {
    const notices = started({ NOTIFY_SOCKET: ENV.NOTIFY_SOCKET });
    await vi.advanceTimersByTimeAsync(10 * PERIOD_MS);
    notices.stop();
    expect(sent).toEqual(['READY=1', 'STOPPING=1']);
  });

  it('feeds the watchdog three times in its period', async () => {
    started(ENV);
    await vi.advanceTimersByTimeAsync(3 * PERIOD_MS);
    expect(sent).toEqual(['READY=1', 'WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
  });

  it('invariants 1 and 2: does not feed it while the inference thread does not answer, and asks it once', async () => {
    const notices = started(ENV);
    let answer = (): void => {};
    const answers = vi.fn(() => new Promise<void>((resolve) => (answer = resolve)));
    notices.watch(answers);
    await vi.advanceTimersByTimeAsync(5 * PERIOD_MS);
    expect(sent).toEqual(['READY=1']);
    expect(answers).toHaveBeenCalledTimes(1);
    answer();
    await vi.advanceTimersByTimeAsync(0);
    expect(sent).toEqual(['READY=1', 'WATCHDOG=1']);
  });

  it('forgets the check of an executor that another one replaced', async () => {
    const notices = started(ENV);
    notices.watch(() => new Promise(() => {}));
    await vi.advanceTimersByTimeAsync(PERIOD_MS);
    notices.watch(async () => {});
    await vi.advanceTimersByTimeAsync(PERIOD_MS);
    expect(sent).toEqual(['READY=1', 'WATCHDOG=1']);
  });
});
