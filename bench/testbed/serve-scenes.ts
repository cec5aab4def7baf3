import { choosePlan } from '../../central/planner/default-plan.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { loadRequestFor } from '../../cli/models.ts';
import { resolveConfig } from '../../shared/config/layers.ts';

/** Lets a cluster serve the bundled model "scenes" by the plan that Tessera chooses for so many nodes. */
export async function serveScenes(cluster: Cluster, nodeCount: number): Promise<void> {
  const { request } = await loadRequestFor('scenes', resolveConfig([]).config);
  const served = await cluster.central.load(request);
  const compiled = choosePlan(served, { nodeCount });
  await cluster.central.offerPlan(served.name, compiled);
  await untilReady(cluster, compiled.plan, nodeCount);
}
