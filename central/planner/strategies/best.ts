import { asSent } from '../calibrated.ts';
import { rank } from '../query/rank.ts';
import { isNoPlan, type Strategy } from '../strategy.ts';

const name = 'best';

/** Compares the plans of other strategies by the problem's objective, so that no plan is divided unless that pays. */
export function bestOf(others: readonly Strategy[]): Strategy {
  return {
    name,
    propose(problem) {
      const proposals = asSent(problem).flatMap((asked) =>
        others.map((strategy) => {
          const proposed = strategy.propose(asked);
          return { strategy: strategy.name, proposed, compared: isNoPlan(proposed) ? 0 : proposed.length };
        }),
      );
      const { ranked, refusals } = rank(problem, proposals);
      if (ranked.length === 0) {
        const why = refusals.map(({ strategy, reason }) => `${strategy}: ${reason}`);
        return { kind: 'impossible', reason: `no strategy has a plan: ${why.join('; ')}` };
      }
      return ranked
        .slice(0, problem.constraints.top ?? 1)
        .map(({ plan }) => ({ ...plan, strategy: name, reason: `${plan.strategy}: ${plan.reason}` }));
    },
  };
}
