import { channel } from 'node:diagnostics_channel';
import type { FrameEnd } from '../../central/coordinator/frame-end.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { CallTiming } from '../../shared/runtime/worker-call.ts';

/** Where the time of a frame goes, ms; all but `client` are parts of central's own latency. */
export type Phases = Record<
  'decode' | 'pack' | 'wire' | 'queue' | 'compute' | 'paste' | 'tail' | 'finish' | 'client',
  number
>;

/** An ended frame and the calls to central's worker threads while it was open. */
export interface Recorded {
  readonly end: FrameEnd;
  readonly calls: readonly CallTiming[];
}

/** Listens to the diagnostics channels of this process, in which central runs; frames come one after another. */
export class Recorder {
  readonly #ends: Recorded[] = [];
  #calls: CallTiming[] = [];
  readonly #onCall = (message: unknown): void => {
    this.#calls.push(message as CallTiming);
  };
  readonly #onEnd = (message: unknown): void => {
    this.#ends.push({ end: message as FrameEnd, calls: this.#calls });
    this.#calls = [];
  };

  start(): void {
    channel('tessera:worker-call').subscribe(this.#onCall);
    channel('tessera:frame-end').subscribe(this.#onEnd);
  }

  stop(): readonly Recorded[] {
    channel('tessera:worker-call').unsubscribe(this.#onCall);
    channel('tessera:frame-end').unsubscribe(this.#onEnd);
    return this.#ends;
  }
}

/**
 * Splits a frame's time: until the first tile went out (decode), until the last came back (pack, wire, queue,
 * compute), until central's own stage began (paste), until that was done (tail), until the end (finish).
 */
export function phasesOf({ end, calls }: Recorded): Phases {
  const used = end.trace.filter((ask) => ask.used);
  const spread = used.filter(({ node }) => node !== CENTRAL);
  const own = used.filter(({ node }) => node === CENTRAL);
  const firstSent = Math.min(...used.map(({ sent_ms }) => sent_ms!));
  const lastBack = Math.max(firstSent, ...spread.map(({ received_ms }) => received_ms!));
  const tailSent = own.length === 0 ? lastBack : Math.min(...own.map(({ sent_ms }) => sent_ms!));
  const tailBack = own.length === 0 ? tailSent : Math.max(...own.map(({ received_ms }) => received_ms!));
  // Packing is one thread's work for all nodes: the longest call is the time until the last message was ready.
  const firstPaste = calls.findIndex(({ method }) => method === 'paste');
  const packs = calls.slice(0, firstPaste < 0 ? undefined : firstPaste).filter(({ method }) => method === 'pack');
  const pack = spread.length === 0 ? 0 : Math.max(0, ...packs.map(({ ms }) => ms));
  // The node that answered last.
  const last = spread.find(({ received_ms }) => received_ms === lastBack)?.node;
  const slowest = spread.filter(({ node }) => node === last);
  const compute = sum(slowest.map((ask) => ask.compute_ms ?? 0));
  const queue = Math.max(0, ...slowest.map((ask) => ask.queue_ms ?? 0));
  return {
    decode: firstSent,
    pack,
    wire: Math.max(0, lastBack - firstSent - pack - queue - compute),
    queue,
    compute,
    paste: Math.max(0, tailSent - lastBack),
    tail: tailBack - tailSent,
    finish: end.latency_ms - tailBack,
    client: 0,
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
