import type { Plan } from '../../shared/plan/plan.ts';
import type { ServedPlan } from '../served-model.ts';
import type { Observer } from './observer.ts';
import type { PlanAnswers } from './readiness.ts';

/** How long `whenReady` waits; `signal` ends it early. */
export interface ReadyOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** The nodes' answers for a plan, and whether the plan serves new frames. */
export type PlanReadiness = PlanAnswers & { readonly isServed: boolean };

/** Callers that wait until nodes have answered for a plan. */
export class ReadyWaits implements Observer {
  readonly #answersOf: (plan: string) => PlanAnswers;
  /** Ids of the active plans, by model. */
  readonly #active = new Map<string, string>();
  readonly #waiting = new Set<() => void>();

  constructor(answersOf: (plan: string) => PlanAnswers) {
    this.#answersOf = answersOf;
  }

  /** Whether a caller waits. */
  get some(): boolean {
    return this.#waiting.size > 0;
  }

  planActive(model: string, { compiled }: ServedPlan): void {
    this.#active.set(model, compiled.plan.id);
    this.#wake();
  }

  nodeChanged(): void {
    this.#wake();
  }

  /**
   * Resolves when the plan serves new frames and so many node agents have answered for it, ready or not; when so many
   * refuse it; or at the time-out. Says who is ready then.
   */
  whenReady(plan: Plan, nodes: number, options: ReadyOptions): Promise<PlanReadiness> {
    return this.#until(
      plan,
      ({ isServed, ready, refused }) =>
        refused.length >= Math.max(1, nodes) || (isServed && ready.length + refused.length >= nodes),
      options,
    );
  }

  /** Resolves when the plan serves new frames, or at the time-out. Says who is ready then. */
  whenServed(plan: Plan, options: ReadyOptions): Promise<PlanReadiness> {
    return this.#until(plan, ({ isServed }) => isServed, options);
  }

  async #until(
    plan: Plan,
    isDecided: (readiness: PlanReadiness) => boolean,
    { timeoutMs, signal }: ReadyOptions,
  ): Promise<PlanReadiness> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const isServed = [...this.#active.values()].includes(plan.id);
      const readiness = { ...this.#answersOf(plan.id), isServed };
      const left = deadline - performance.now();
      if (isDecided(readiness) || left <= 0 || signal?.aborted) return readiness;
      let timer: NodeJS.Timeout | undefined;
      let wake: () => void = () => {};
      await new Promise<void>((resolve) => {
        wake = resolve;
        timer = setTimeout(resolve, left);
        this.#waiting.add(resolve);
        signal?.addEventListener('abort', wake, { once: true });
      });
      signal?.removeEventListener('abort', wake);
      clearTimeout(timer);
      this.#waiting.delete(wake);
    }
  }

  /** Every caller checks the readiness again. */
  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
