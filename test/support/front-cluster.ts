import { type Cluster, type ClusterOptions, startCluster } from '../../cli/cluster.ts';
import { silentLog } from '../../shared/ports.ts';

/** A cluster on this machine with one camera, "front", with policy every; `more` adds to the configuration. */
export function frontCluster(stateDir: string, more: Partial<ClusterOptions> = {}): Promise<Cluster> {
  return startCluster({
    nodes: 0,
    base: 'tessera',
    stateDir,
    maximumPacketSize: 1_000_000,
    cameras: { front: { models: [], hold: 1, offline_after_s: 60, keep: 'every' } },
    acceptUnlistedCameras: false,
    idPrefix: 'node',
    log: silentLog,
    ...more,
  });
}
