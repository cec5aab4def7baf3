import { TesseraError } from '../errors.ts';
import type { ControlMessage } from '../protocol/messages/control.ts';
import type { EchoMessage } from '../protocol/messages/echo.ts';
import { TokenBuckets } from '../token-buckets.ts';

/** What a node's echoes need. `now` is a steady clock, `cpuMs` the CPU time of this process; both milliseconds. */
export interface EchoesOptions {
  readonly send: (to: string, message: EchoMessage) => Promise<unknown>;
  readonly now: () => number;
  readonly cpuMs: () => number;
  /** Calls a function once after some ms. */
  readonly after: (ms: number, call: () => void) => void;
}

/** What a measurement of a link found: a `probed` message. */
export type Probed = Pick<Extract<ControlMessage, { type: 'probed' }>, 'echoes' | 'message_ms'>;

/**
 * Sizes of pings, bytes; empty ones first. From the fourth on a ping travels in several parts, as large tensors do. A
 * larger size follows only where the one before took less than QUICK_MS, so that a slow link is not filled for minutes.
 */
const SIZES = [0, 32_768, 131_072, 524_288, 2_097_152] as const;
const QUICK_MS = 300;
/** Pings before the first one that counts: connections grow their windows. */
const WARM_UP = 3;
/** Least number of empty pings: each costs so little CPU time that few of them cannot be told from a heartbeat. */
const LEAST_EMPTY = 30;
/** How long one echo may take, and how many may be lost, before the measurement fails. */
const PATIENCE_MS = 10_000;
const MOST_LOST = 3;
/** Pings of one sender that are answered at once, and per second after that. */
const PINGS = { burst: 1000, perSecond: 50 } as const;

/**
 * Answers pings of other nodes, and measures links with pings of its own: one at a time, so that nothing waits for
 * anything but the link.
 */
export class Echoes {
  readonly #options: EchoesOptions;
  readonly #pings = new TokenBuckets(PINGS);
  #n = 0;
  /** The ping under way. */
  #open: { readonly to: string; readonly n: number; readonly back: (isBack: boolean) => void } | undefined;

  constructor(options: EchoesOptions) {
    this.#options = options;
  }

  /** Handles a ping or a pong; false if it was useless. */
  receive(from: string, message: EchoMessage): boolean {
    const { send, now } = this.#options;
    if (message.type === 'pong') {
      if (this.#open?.to !== from || this.#open.n !== message.n) return false;
      this.#open.back(true);
      return true;
    }
    if (!this.#pings.take(from, now())) return false;
    send(from, { v: 1, type: 'pong', n: message.n }).catch(() => {});
    return true;
  }

  /**
   * Measures the link to a node: the time until the answer to pings of several sizes up to `mostBytes`, `repeats` of
   * each, and this process's CPU time per message. Calls must not overlap. Throws TESSERA_NO_NODES where answers
   * do not come.
   */
  async measure(to: string, repeats: number, mostBytes = Number.POSITIVE_INFINITY): Promise<Probed> {
    let lost = 0;
    const times = async (bytes: number, count: number): Promise<number[]> => {
      const payload = noise(bytes);
      const ms: number[] = [];
      while (ms.length < count) {
        const time = await this.#ping(to, payload);
        if (time !== undefined) ms.push(time);
        else if (++lost > MOST_LOST)
          throw new TesseraError('TESSERA_NO_NODES', `node ${to} does not answer echoes`, {
            hint: 'it is offline, or runs an older version',
          });
      }
      return ms;
    };
    await times(0, WARM_UP);
    const { cpuMs } = this.#options;
    const before = cpuMs();
    const echoes = [{ bytes: 0, ms: await times(0, Math.max(LEAST_EMPTY, repeats)) }];
    // Each echo is one message that is sent and one that is received.
    const message_ms = (cpuMs() - before) / (2 * echoes[0]!.ms.length);
    for (const bytes of SIZES.slice(1)) {
      if (bytes > mostBytes || middle(echoes.at(-1)!.ms) > QUICK_MS) break;
      echoes.push({ bytes, ms: await times(bytes, repeats) });
    }
    return { echoes, message_ms };
  }

  /** Time until the answer, ms; undefined where it does not come. */
  async #ping(to: string, d: Uint8Array): Promise<number | undefined> {
    const { send, now, after } = this.#options;
    const n = this.#n++;
    const began = now();
    const isBack = await new Promise<boolean>((resolve) => {
      this.#open = { to, n, back: resolve };
      after(PATIENCE_MS, () => resolve(false));
      send(to, { v: 1, type: 'ping', n, d }).catch(() => resolve(false));
    });
    this.#open = undefined;
    return isBack ? now() - began : undefined;
  }
}

function middle(ms: readonly number[]): number {
  return [...ms].sort((a, b) => a - b)[Math.floor(ms.length / 2)]!;
}

/** Bytes that no link compresses: a linear congruential generator's. */
function noise(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
