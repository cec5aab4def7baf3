import type { Executor } from '../../shared/node/executor-types.ts';

/** An executor that runs nothing: it knows which plans are prepared and released; `overrides` replace the rest. */
export function executorDouble(overrides: Partial<Executor> = {}): Executor & { lose(plan: string): void } {
  const plans = new Map<string, Set<number>>();
  return {
    plans: () => [...plans.keys()],
    prepared: (plan) => plans.get(plan) ?? new Set(),
    weights: async () => [],
    preparedPlan: () => undefined,
    run: async () => {},
    measure: async () => ({ ms: [1], others: 0 }),
    tune: async () => undefined,
    keep: () => true,
    take: async () => [],
    free: () => {},
    onLoss: () => {},
    answers: async () => {},
    cancel: () => {},
    stop: async () => {},
    ...overrides,
    prepare: async (plan, stages, skeleton) => {
      await overrides.prepare?.(plan, stages, skeleton);
      plans.set(plan.id, new Set([...(plans.get(plan.id) ?? []), ...stages]));
    },
    release: async (plan) => {
      plans.delete(plan);
      await overrides.release?.(plan);
    },
    lose: (plan) => void plans.delete(plan),
  };
}
