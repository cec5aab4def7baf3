import { expect, test } from 'vitest';
import { ZOO } from '../../../bench/zoo/networks.ts';
import { COMPARED } from '../../../central/planner/strategies.ts';
import { isNoPlan } from '../../../central/planner/strategy.ts';
import { resolveModel } from '../../../shared/onnx/resolve.ts';
import { compilePlan } from '../../../shared/plan/compile.ts';
import { clusterOf } from './tiling/clusters.ts';

/** Of each family a network with its own kind of cuts, with few channels. */
const SAMPLE = [
  'alexnet',
  'vgg-16',
  'fcn-8s',
  'resnet-50-v2',
  'densenet-121',
  'mobilenet-v2',
  'xception',
  'tiny-yolo-v2',
  'charcnn',
  'gated',
];

test.each(SAMPLE)('every plan that divides %s fits it', { timeout: 60_000 }, (name) => {
  const resolved = resolveModel(ZOO.get(name)!.build({ width: 0.1 }));
  const problem = clusterOf({ resolved }, [50, 60, 80, 120, 50], { mbps: 1000 });
  let divided = 0;
  for (const padding of [undefined, 'zero'] as const) {
    const constraints = { ...problem.constraints, padding };
    for (const strategy of COMPARED) {
      const plans = strategy.propose({ ...problem, constraints });
      if (isNoPlan(plans)) continue;
      for (const plan of plans) {
        if (plan.stages.every(({ split }) => split.kind === 'whole')) continue;
        compilePlan(plan, resolved);
        divided++;
      }
    }
  }
  expect(divided).toBeGreaterThan(0);
});
