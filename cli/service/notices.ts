import { ServiceNotices } from '../../shared/runtime/service-notices.ts';

/** Tells systemd that this process runs, and when it is about to stop. */
export function serviceNotices(signal: AbortSignal): ServiceNotices {
  const notices = new ServiceNotices();
  notices.ready();
  signal.addEventListener('abort', () => notices.stop(), { once: true });
  return notices;
}
