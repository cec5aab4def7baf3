import type { Log } from '../ports.ts';
import type { PlanProgress } from '../protocol/messages/node.ts';

/** Most plans that a heartbeat names, the newest. */
const NAMED = 16;
/** Time between two log lines about a fetch, ms. */
const AGAIN_MS = 10_000;
/** Time after which the rate of a fetch is known, ms. */
const RATE_MS = 1000;
/** Most characters of a reason. */
const MAX_TEXT = 300;

/**
 * The node's progress with each plan that it was asked to prepare, for its heartbeat and its log: the log has the start
 * of each fetch with its size, its progress every ten seconds, and its end.
 */
export class PreparationProgress {
  readonly #log: Log;
  readonly #now: () => number;
  readonly #plans = new Map<string, PlanProgress>();
  #saidAt = 0;
  #fetching: { readonly id: string; readonly since: number; readonly before: number } | undefined;

  constructor(log: Log, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  /** All plans, the newest last. */
  get plans(): PlanProgress[] {
    return [...this.#plans.values()].slice(-NAMED);
  }

  set(id: string, model: string, state: PlanProgress['state'], text?: string): void {
    this.#plans.delete(id);
    const reason = text === undefined ? {} : { text: text.slice(0, MAX_TEXT) };
    this.#plans.set(id, { id: id.slice(0, MAX_TEXT), model, state, ...reason });
    const oldest = this.#plans.keys().next().value;
    if (this.#plans.size > 4 * NAMED && oldest !== undefined) this.#plans.delete(oldest);
  }

  /** Chunks of the model arrived: `bytes` of `of` are here. */
  fetched(id: string, model: string, bytes: number, of: number): void {
    if (of === 0) return;
    const now = this.#now();
    const isNew = this.#fetching?.id !== id;
    const begun = isNew || this.#fetching === undefined ? { id, since: now, before: bytes } : this.#fetching;
    this.#fetching = begun;
    const rate = Math.round(((bytes - begun.before) / (now - begun.since)) * 1000);
    const isKnown = now - begun.since >= RATE_MS && rate > 0;
    const speed = isKnown ? { bytes_per_s: rate, left_s: Math.ceil((of - bytes) / rate) } : {};
    this.#plans.set(id, { id, model, state: 'fetching', bytes, of, ...speed });
    if (!isNew && now - this.#saidAt < AGAIN_MS) return;
    this.#saidAt = now;
    const before = bytes > 0 ? `, ${megabytes(bytes)} are here` : '';
    const text = isNew ? `fetches ${megabytes(of)}${before}` : `has ${megabytes(bytes)} of ${megabytes(of)}`;
    this.#log.info(`model ${model}: ${text}`, { plan: id });
  }

  /** The fetch for the plan has ended. */
  fetchEnded(): void {
    this.#fetching = undefined;
  }

  forget(id: string): void {
    this.#plans.delete(id);
  }
}

function megabytes(bytes: number): string {
  return bytes < 1e5 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
