import { expect, test } from 'vitest';
import { COMPARED } from '../../../central/planner/strategies.ts';
import { isNoPlan } from '../../../central/planner/strategy.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import { missing, NETWORKS, network, TOPOLOGIES } from '../../shared/onnx/networks.ts';
import { profiledProblem } from '../../support/profiled.ts';

/** Real networks lie outside of the repository. */
test.for([...Object.keys(NETWORKS), ...TOPOLOGIES])(
  'every strategy has a plan for %s that fits it, or says why not',
  { timeout: 120_000 },
  (name, { skip }) => {
    const why = missing(name);
    skip(why !== false, why || undefined);
    const resolved = network(name);
    const problem = profiledProblem(resolved);
    for (const strategy of COMPARED) {
      const plans = strategy.propose(problem);
      if (isNoPlan(plans))
        expect(`${strategy.name}: ${plans.reason}`).toMatch(
          /two-stage: .*fewer than two cuts|tiles-fdsp: .*not retrained/,
        );
      else for (const plan of plans) compilePlan(plan, resolved);
    }
  },
);
