import { expect, it } from 'vitest';
import { PlanLatency } from '../../../central/replanner/plan-latency.ts';

it('plans are compared once both had enough frames, without the first ones of each', () => {
  const latency = new PlanLatency();
  latency.active('a');
  for (let i = 0; i < 8; i++) latency.ended('a', 1000);
  for (let i = 0; i < 100; i++) latency.ended('a', i < 60 ? 5 : 20);
  expect(latency.compared).toBeUndefined();
  latency.active('b');
  latency.active('b');
  for (let i = 0; i < 8; i++) latency.ended('b', 1000);
  // Frames that were open at the switch still end with the plan before it.
  latency.ended('a', 7);
  for (let i = 0; i < 15; i++) latency.ended('b', 30);
  expect(latency.compared).toBeUndefined();
  latency.ended('b', 30);
  expect(latency.compared).toEqual({ ms: 30, before_ms: 20 });
});
