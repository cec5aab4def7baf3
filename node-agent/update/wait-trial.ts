import { setTimeout as sleep } from 'node:timers/promises';
import { faultOf, finalFaultOf, type Health } from './trial.ts';

/** The broker may just start again, ms. */
const RECONNECT_MS = 60_000;
/** The inference thread may be loading a network, ms. */
const ANSWER_MS = 30_000;
const LOOK_MS = 1000;

/** A trial that has begun. */
export interface Trial {
  readonly health: () => Health;
  /** Resolves when the inference thread answers. */
  readonly answers: () => Promise<void>;
  readonly trialS: number;
  /** Ends it without a judgement. */
  readonly signal: AbortSignal;
}

/** Waits for the end of a trial: why the release is given up; undefined where it is kept. */
export async function trialFault({ health, answers, trialS, signal }: Trial): Promise<string | undefined> {
  const end = performance.now() + trialS * 1000;
  const isOver = (): boolean =>
    performance.now() >= end && (health().connected || performance.now() >= end + RECONNECT_MS);
  while (!isOver() && !signal.aborted) {
    await sleep(LOOK_MS);
    const fault = faultOf(health());
    if (fault !== undefined) return fault;
  }
  if (signal.aborted) return undefined;
  const isAnswered = await Promise.race([answers().then(() => true), sleep(ANSWER_MS, false)]);
  return finalFaultOf(health(), isAnswered);
}
