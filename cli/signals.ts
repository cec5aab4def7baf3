import { endProcess } from '../shared/runtime/native-calls.ts';

/**
 * Ctrl-C and SIGTERM.
 *
 *   running --first signal--> stopping --command returns--> exit 0
 *                             stopping --second signal----> exit 130 at once
 *                             stopping --9 s--------------> exit 0, with a warning
 *
 * Invariants: 1. the first signal only aborts `signal`. 2. A process that was told to stop is gone within 10 s.
 * 3. One Ctrl-C under `npm start` counts once, although the terminal and npm both deliver it. 4. A process that another
 * one of ours started (it has a channel) leaves Ctrl-C to its parent, and stops when the parent asks or is gone.
 */

/** Time for a graceful stop, ms. */
const GRACE_MS = 9_000;
/** Time that a call of the runtime under way has after that, ms. */
const LAST_MS = 900;
/** Signals this close after the first are the same key press, ms. */
const SAME_PRESS_MS = 400;

/** A signal that is aborted by the first Ctrl-C or SIGTERM. Call once a process. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let since: number | undefined;
  const onSignal = (): void => {
    if (since !== undefined) {
      if (performance.now() - since > SAME_PRESS_MS) endProcess(130, LAST_MS);
      return;
    }
    since = performance.now();
    setTimeout(() => {
      process.stderr.write('warning: stopping took too long, ended without waiting\n');
      endProcess(0, LAST_MS);
    }, GRACE_MS).unref();
    controller.abort();
  };
  const isChild = process.send !== undefined;
  process.on('SIGINT', isChild ? () => {} : onSignal);
  process.on('SIGTERM', onSignal);
  if (isChild) {
    process.on('disconnect', onSignal);
    // Listening to the channel would keep the process alive by itself.
    process.channel?.unref();
  }
  return controller.signal;
}

/** Resolves when `signal` is aborted. */
export function untilStopped(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    // A pending promise does not keep a process alive; this timer does.
    const alive = setInterval(() => {}, 2 ** 30);
    const stop = (): void => {
      clearInterval(alive);
      resolve();
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** What `promise` comes to; rejects with the signal's reason once it is aborted, and waits no longer. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
