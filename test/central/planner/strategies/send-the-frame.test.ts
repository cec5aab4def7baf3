import { expect, test } from 'vitest';
import { predict } from '../../../../central/planner/cost/predict.ts';
import { sketch } from '../../../../central/planner/cost/sketch.ts';
import { sendTheFrame } from '../../../../central/planner/strategies/send-the-frame.ts';
import { isNoPlan } from '../../../../central/planner/strategy.ts';
import { clusterOf, smallNetwork } from '../tiling/clusters.ts';

const network = smallNetwork(2, 16);

test('the picture of the camera is sent where it is smaller than its values', () => {
  const problem = clusterOf(network, [1, 1000], { mbps: 1, picture: { bytes: 400, quality: 80 } });
  const constraints = { ...problem.constraints, top: 5 };
  const plans = sendTheFrame.propose({ ...problem, constraints });
  if (isNoPlan(plans)) throw new Error(plans.reason);
  expect(plans.map(({ source }) => source)).toEqual(['topic', 'central']);
  expect(plans[0]!.reason).toContain('JPEG of quality 80');
  const sent = plans.map((plan) => predict(problem, sketch(plan, problem.graph)).hops[0]!.bytes);
  expect(sent).toEqual([400, 4 * 3 * 16 * 16]);
});

test('frames that are born at a node travel as their values', () => {
  const problem = clusterOf(network, [1000, 1, 1000], { source: 'pi-1', picture: { bytes: 400 } });
  const plans = sendTheFrame.propose({ ...problem, constraints: { ...problem.constraints, top: 5 } });
  if (isNoPlan(plans)) throw new Error(plans.reason);
  expect(plans.every(({ source }) => source === 'central')).toBe(true);
});

test('one machine alone has nowhere to send frames', () => {
  expect(sendTheFrame.propose(clusterOf(network, [1]))).toMatchObject({ kind: 'impossible' });
});
