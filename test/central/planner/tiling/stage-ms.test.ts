import { expect, test } from 'vitest';
import type { Fleet, FleetHop } from '../../../../central/planner/tiling/fleet.ts';
import { ALL } from '../../../../central/planner/tiling/forms.ts';
import { stageMs } from '../../../../central/planner/tiling/stage-ms.ts';

/** Three sites around a broker on a fourth machine: link 2s leads from site s to it, link 2s + 1 back. */
const hops = [0, 1, 2].map((from) =>
  [0, 1, 2].map((to): FleetHop => {
    return from === to
      ? { links: [], fixed_ms: 0, order_ms: 0 }
      : { links: [2 * from, 2 * to + 1], fixed_ms: 4, order_ms: 5 };
  }),
);
const fleet: Fleet = { machines: [], sites: 3, source: 0, sink: 0, links: [0.1, 0.1, 0.1, 0.1, 0.1, 0.2], hops };
const halves = Float64Array.of(0, 0.5, 0, 1, 0, 1, 0.5, 1, 0, 1, 0, 1);

test('a machine waits for all that is sent over the links to it, and then computes', () => {
  // Each half is 50 bytes. Site 0 sends both, so its link takes 10 ms; the links to sites 1 and 2 take 5 and 10 ms.
  const work = { sites: [1, 2], ms: [20, 30], needs: [halves] };
  expect(stageMs(fleet, [100], { sites: [0], made: [ALL] }, work)).toBe(4 + 10 + 10 + 30);
});

test('what a machine has is not sent, and a halo alone travels', () => {
  const grown = Float64Array.of(0, 0.6, 0, 1, 0, 1, 0.4, 1, 0, 1, 0, 1);
  const held = { sites: [0, 1], made: [halves] };
  // 10 bytes each way, faster than central's order.
  expect(stageMs(fleet, [100], held, { sites: [0, 1], ms: [1, 2], needs: [grown] })).toBe(Math.max(4 + 1 + 1, 5) + 2);
  expect(stageMs(fleet, [100], held, { sites: [0, 1], ms: [1, 2], needs: [halves] })).toBe(2);
});

test('parts of one machine follow one another; without links a stage never ends', () => {
  const work = { sites: [0, 0], ms: [20, 30], needs: [halves] };
  expect(stageMs(fleet, [100], { sites: [0], made: [ALL] }, work)).toBe(50);
  const apart = { ...fleet, hops: [[hops[0]![0]!, { links: [], fixed_ms: Number.POSITIVE_INFINITY, order_ms: 0 }]] };
  const away = { sites: [1], ms: [1], needs: [ALL] };
  expect(stageMs(apart, [100], { sites: [0], made: [ALL] }, away)).toBe(Number.POSITIVE_INFINITY);
});
