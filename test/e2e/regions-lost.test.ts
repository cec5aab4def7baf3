import { afterAll, beforeAll, expect, test } from 'vitest';
import { FaultyCluster } from '../../bench/faults/faulty-cluster.ts';

/**
 * Three stages of tiles whose regions stay at four nodes, real processes around a real broker. Lost if this fails: a node
 * that alone had regions of open frames costs time, not frames.
 */

const FRAMES = 40;

let cluster: FaultyCluster;

beforeAll(async () => {
  cluster = await FaultyCluster.start({ form: 'three tile stages that stay' });
});
afterAll(() => cluster.end());

test('40 frames while nodes that hold their regions are killed, frozen and cut off: none is lost, none is wrong', async () => {
  const { answers, problems, faults } = await cluster.disturb(FRAMES, 1);
  expect(problems).toEqual([]);
  expect(answers).toHaveLength(FRAMES);
  expect(faults.kill).toBeGreaterThan(0);
  await cluster.repair();
}, 120_000);
