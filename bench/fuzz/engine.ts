import fc from 'fast-check';
import type { FuzzTarget, Judge } from './target.ts';

/**
 * Runs one decoder. Input `k` of a seed is always the same, on every machine, so that a finding is identified by its
 * number even if the process died of it.
 */

/** The outcome of one decoder with many inputs. */
export interface Tally {
  inputs: number;
  accepted: number;
  refused: number;
  /** Wall time spent in the decoder, ms. */
  busy_ms: number;
  slowest_ms: number;
  findings: Finding[];
  /** Growth of memory over the run by a fit over samples, MB (10^6 bytes); null where it was too short to tell. */
  heap_growth_mb: number | null;
  rss_growth_mb: number | null;
}

/** An input that caused a fault. */
export interface Finding {
  /** Number of the input; -1 for one of the corpus. */
  readonly index: number;
  readonly kind: 'crash' | 'slow' | 'fault';
  readonly what: string;
  readonly input: Uint8Array;
}

/** Default time limit of one input, ms. */
const LIMIT_MS = 250;
/** Time beyond which an input is tried again, to tell its own cost from that of a busy machine, ms. */
const SUSPECT_MS = 20;
const BATCH = 256;
const HEAVY_BATCH = 16;
/** Findings after which a run ends. */
const ENOUGH = 20;
/** How often the memory is read per run, and the shortest time between two readings. */
const SAMPLES = 64;
const SAMPLE_MS = 200;

/** The inputs of a target, by number. */
export class Inputs {
  readonly #arbitrary: fc.Arbitrary<Uint8Array>;
  readonly #seed: number;
  readonly #batch: number;
  #number = -1;
  #held: readonly Uint8Array[] = [];

  constructor(target: FuzzTarget, seeds: readonly Uint8Array[], seed: number) {
    this.#arbitrary = target.inputs(seeds);
    this.#seed = seed;
    this.#batch = target.heavy === true ? HEAVY_BATCH : BATCH;
  }

  at(index: number): Uint8Array {
    const number = Math.floor(index / this.#batch);
    if (number !== this.#number) {
      // Neighbouring seeds of a generator are far apart after this (Knuth's multiplier).
      const seed = Math.imul(this.#seed ^ 0x5bd1e995, 2_654_435_761) ^ Math.imul(number + 1, 2_654_435_761);
      this.#held = fc.sample(this.#arbitrary, { numRuns: this.#batch, seed });
      this.#number = number;
    }
    return this.#held[index % this.#batch]!;
  }
}

/** How long a run goes on: until `inputs` are done or `seconds` are over, whichever comes first. */
export interface RunOptions {
  readonly seed: number;
  /** Number of the first input. */
  readonly from: number;
  readonly inputs: number;
  readonly seconds: number;
  /** Tried first, before numbered inputs: those of the corpus. */
  readonly corpus: readonly Uint8Array[];
  /** Told before each input. */
  readonly onInput?: (index: number) => void;
}

/** Runs a target's inputs one after another and returns the findings. */
export async function runTarget(target: FuzzTarget, options: RunOptions): Promise<Tally> {
  const { corpus, seed, from, inputs, seconds, onInput } = options;
  const seeds = [...(await target.seeds()), ...corpus];
  const generated = new Inputs(target, seeds, seed);
  const judge = await target.open();
  const tally: Tally = {
    inputs: 0,
    accepted: 0,
    refused: 0,
    busy_ms: 0,
    slowest_ms: 0,
    findings: [],
    heap_growth_mb: null,
    rss_growth_mb: null,
  };
  const memory: { heap: number; rss: number; at: number }[] = [];
  const end = performance.now() + seconds * 1000;
  let nextSample = 0;
  const one = async (input: Uint8Array, index: number): Promise<void> => {
    tally.inputs++;
    onInput?.(index);
    const finding = await judged(target, judge, input, index, tally);
    if (finding !== undefined) tally.findings.push(finding);
  };
  for (const input of seeds) await one(input, -1);
  for (let k = 0; k < inputs && performance.now() < end && tally.findings.length < ENOUGH; k++) {
    await one(generated.at(from + k), from + k);
    if (globalThis.gc === undefined || performance.now() < nextSample) continue;
    memory.push(await memoryNow(k));
    nextSample = performance.now() + Math.max(SAMPLE_MS, (seconds * 1000) / SAMPLES);
  }
  await judge.close?.();
  const growth = growthOf(memory);
  return { ...tally, ...growth };
}

async function judged(
  target: FuzzTarget,
  judge: Judge,
  input: Uint8Array,
  index: number,
  tally: Tally,
): Promise<Finding | undefined> {
  const limit = target.limitMs ?? LIMIT_MS;
  const started = performance.now();
  let finding: Finding | undefined;
  try {
    const verdict = await judge.judge(input);
    tally[verdict]++;
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const kind = error instanceof Error && error.name === 'FuzzFault' ? 'fault' : 'crash';
    finding = { index, kind, what, input: await shrunk(judge, input, firstLine(what)) };
  }
  let took = performance.now() - started;
  tally.busy_ms += took;
  // The machine may have been busy with something else: the best of three counts.
  for (let again = 0; again < 2 && took > SUSPECT_MS && finding === undefined; again++) {
    const restarted = performance.now();
    await judge.judge(input);
    took = Math.min(took, performance.now() - restarted);
  }
  tally.slowest_ms = Math.max(tally.slowest_ms, took);
  if (finding === undefined && took > limit) finding = { index, kind: 'slow', what: `${Math.round(took)} ms`, input };
  return finding;
}

const firstLine = (text: string): string => text.split('\n', 1)[0]!.replace(/\d+/g, '0');

/** Tries of a smaller input per finding. */
const SHRINK_TRIES = 400;

/** A shorter input with the same fault: pieces are left out, large ones first, for as long as the fault stays. */
async function shrunk(judge: Judge, input: Uint8Array, fault: string): Promise<Uint8Array> {
  let best = input;
  let tries = SHRINK_TRIES;
  for (let size = best.length >> 1; size >= 1; size >>= 1)
    for (let at = 0; at < best.length && tries-- > 0; ) {
      const shorter = new Uint8Array(Buffer.concat([best.subarray(0, at), best.subarray(at + size)]));
      const same = await Promise.resolve()
        .then(() => judge.judge(shorter))
        .then(
          () => false,
          (error: unknown) => firstLine(error instanceof Error ? (error.stack ?? error.message) : `${error}`) === fault,
        );
      if (same) best = shorter;
      else at += size;
    }
  return best;
}

async function memoryNow(at: number): Promise<{ heap: number; rss: number; at: number }> {
  globalThis.gc?.();
  // Buffers that were found to be garbage are given back later, by another thread.
  await new Promise((resolve) => setTimeout(resolve, 10));
  globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, rss, at };
}

/** Growth by least squares over the samples after the first quarter (caches fill, code is compiled). */
function growthOf(memory: readonly { heap: number; rss: number; at: number }[]) {
  const samples = memory.slice(Math.floor(memory.length / 4));
  if (samples.length < 8) return { heap_growth_mb: null, rss_growth_mb: null };
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const slope = (values: readonly number[]): number => {
    const [x, y] = [mean(values.map((_, k) => k)), mean(values)];
    let up = 0;
    let down = 0;
    values.forEach((value, k) => {
      up += (k - x) * (value - y);
      down += (k - x) ** 2;
    });
    return Math.round(((up / down) * (values.length - 1)) / 1e4) / 100;
  };
  return {
    heap_growth_mb: slope(samples.map(({ heap }) => heap)),
    rss_growth_mb: slope(samples.map(({ rss }) => rss)),
  };
}
