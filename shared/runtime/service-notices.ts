import { execFile } from 'node:child_process';

/**
 * What a process tells systemd (sd_notify(3)), by `systemd-notify`: Node has no datagram sockets of the family that it
 * takes. Under no service manager, nothing.
 *
 *   starting --ready--> ready; every third of WATCHDOG_USEC: --the check is answered--> WATCHDOG=1
 *
 * 1. A notice for the watchdog is sent only after the event loop ran and the last check was answered.
 * 2. At most one check is open.
 */
export class ServiceNotices {
  readonly #send: (notice: string) => void;
  readonly #periodMs: number | undefined;
  #answers: () => Promise<void> = async () => {};
  #open = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(env: Readonly<Record<string, string | undefined>> = process.env, send?: (notice: string) => void) {
    const isService = env.NOTIFY_SOCKET !== undefined;
    this.#send = isService ? (send ?? notify) : () => {};
    const usec = Number(env.WATCHDOG_USEC);
    if (isService && usec > 0) this.#periodMs = usec / 3000;
  }

  /** The process runs; whatever it waits for from now on is no reason to restart it. */
  ready(): void {
    this.#send('READY=1');
    if (this.#periodMs === undefined) return;
    this.#timer = setInterval(() => void this.#check(), this.#periodMs);
    this.#timer.unref();
  }

  /** From now on the watchdog is fed only when `answers` resolves. */
  watch(answers: () => Promise<void>): void {
    this.#answers = answers;
    this.#open = false;
  }

  /** The process stops, and needs no watchdog for it: systemd has a time limit of its own. */
  stop(): void {
    clearInterval(this.#timer);
    this.#send('STOPPING=1');
  }

  async #check(): Promise<void> {
    if (this.#open) return;
    this.#open = true;
    const answers = this.#answers;
    await answers();
    if (answers !== this.#answers) return;
    this.#open = false;
    this.#send('WATCHDOG=1');
  }
}

function notify(notice: string): void {
  // Without the program the watchdog restarts the service, and the journal says why.
  execFile('systemd-notify', [notice], (error) => {
    if (error !== null) process.stderr.write(`warning: systemd-notify ${notice}: ${error.message.trim()}\n`);
  });
}
