import { choosePlan } from '../../central/planner/choose.ts';
import { type Cluster, untilReady } from '../../cli/cluster.ts';
import { loadForDeploy } from '../../cli/models.ts';
import { resolveConfig } from '../../shared/config/layers.ts';

/** Lets a cluster serve the bundled model "scenes" by the plan that Tessera chooses for so many nodes. */
export async function serveScenes(cluster: Cluster, nodeCount: number): Promise<void> {
  const { request } = await loadForDeploy('scenes', resolveConfig([]).config);
  const deployment = await cluster.central.deploy(request);
  const prepared = choosePlan(deployment, { nodeCount });
  await cluster.central.activate(deployment.name, prepared);
  await untilReady(cluster, prepared.plan, nodeCount);
}
