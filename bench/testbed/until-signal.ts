import { removeEmulated } from './emulated-cluster.ts';

/**
 * Runs something with emulated clusters, and removes all of them afterwards: also where it throws, and where Ctrl-C or
 * SIGTERM ends this process.
 */
export async function untilSignal<T>(use: () => Promise<T>): Promise<T> {
  let ending: Promise<void> | undefined;
  const end = (signal: NodeJS.Signals): void => {
    ending ??= removeEmulated().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.on('SIGINT', end).on('SIGTERM', end).on('SIGHUP', end);
  try {
    return await use();
  } finally {
    await removeEmulated();
    process.off('SIGINT', end).off('SIGTERM', end).off('SIGHUP', end);
    // What failed because of the signal is not the cause.
    await ending;
  }
}
