import { rm } from 'node:fs/promises';
import type { BrokerConnection } from '../central/central-options.ts';
import type { CoordinatorOptions } from '../central/coordinator/options.ts';
import { CAMERA_DEFAULTS } from '../shared/config/schema.ts';
import type { CompiledPlan } from '../shared/plan/compiled-plan.ts';
import { CENTRAL, type Plan } from '../shared/plan/plan.ts';
import type { Bus, Log } from '../shared/ports.ts';
import { topics } from '../shared/protocol/topics.ts';
import { makeTemporaryFolder } from '../shared/runtime/folder.ts';
import { connectBus } from '../shared/runtime/mqtt.ts';
import { type Cluster, startCluster, untilReady } from './cluster.ts';
import { FrameClient } from './frames.ts';
import { showPreparations } from './preparation-notes.ts';
import type { Shown } from './progress.ts';

/** The one camera of a private cluster. */
const CAMERA = 'private';

/** Nobody there follows objects, and drawing them takes time. */
const RESULTS_ONLY = {
  ...CAMERA_DEFAULTS.publish,
  event: { on: false, interval_s: 0 },
  snapshot: { on: false, interval_s: 0 },
  crop: { on: false, interval_s: 0 },
};

/** How a private cluster is made. */
export interface PrivateClusterOptions {
  readonly nodes: number;
  /** A broker that runs; otherwise the cluster has one of its own. */
  readonly bus?: BrokerConnection;
  readonly base: string;
  readonly maximumPacketSize: number;
  readonly coordinator?: Partial<CoordinatorOptions>;
  /** Ends `use` early: the cluster stops and the result is undefined. */
  readonly signal?: AbortSignal;
  /** Shows how far nodes are with a plan, where that takes long. */
  readonly shown?: Shown;
  readonly log: Log;
}

/** A cluster that one command has to itself. */
export interface PrivateCluster extends Pick<Cluster, 'central' | 'agents'> {
  /** A connection to its broker. */
  readonly bus: Bus;
  /** The camera of this cluster; every frame is processed. */
  readonly camera: FrameClient;
  /** Puts a plan to work and waits until every agent that it may ask is ready for it. Throws TESSERA_NO_NODES. */
  serve(model: string, compiled: CompiledPlan, timeoutMs?: number): Promise<void>;
}

/** How many agents a plan may ask: all of them, or those that its stages name. */
export function agentsOf(plan: Plan, all: number): number {
  const named = new Set<string>();
  for (const { on } of plan.stages) {
    if ('tier' in on || on.nodes === '*') return all;
    for (const node of on.nodes) if (node !== CENTRAL) named.add(node);
  }
  return named.size;
}

/** Runs `use` with a broker, central and agents of its own on this machine; nothing of it is left afterwards. */
export async function withPrivateCluster<T>(
  { nodes, bus: broker, base, maximumPacketSize, coordinator, signal, shown, log: callers }: PrivateClusterOptions,
  use: (cluster: PrivateCluster) => Promise<T>,
): Promise<T | undefined> {
  // The cluster serves one command, so only its warnings are shown.
  const log: Log = { ...callers, info: (message, fields) => callers.debug(message, fields) };
  const stateDir = await makeTemporaryFolder('tessera-');
  const open: { stop(): Promise<void> }[] = [];
  try {
    const cluster = await startCluster({
      nodes,
      ...(broker === undefined ? {} : { bus: broker }),
      base,
      stateDir,
      isTransient: true,
      maximumPacketSize,
      cameras: { [CAMERA]: { models: [], hold: 1, offline_after_s: 3600, keep: 'every', publish: RESULTS_ONLY } },
      acceptUnlistedCameras: false,
      // Its nodes are processes of this one.
      coordinator: { audit_share: 0, ...coordinator },
      idPrefix: 'node',
      log,
    });
    open.push(cluster);
    const bus = await connectBus({ ...cluster.bus, clientId: `${base}-${CAMERA}-${process.pid}`, log });
    open.push(bus);
    if (shown !== undefined) await showPreparations(bus, topics(base), shown);
    const camera = new FrameClient(bus, topics(base), CAMERA);
    await camera.start();
    const used = use({
      central: cluster.central,
      agents: cluster.agents,
      bus,
      camera,
      async serve(model, compiled, timeoutMs) {
        await cluster.central.offerPlan(model, compiled);
        await untilReady(cluster, compiled.plan, agentsOf(compiled.plan, nodes), timeoutMs);
      },
    });
    const stopped = new Promise<undefined>((resolve) => {
      if (signal?.aborted) resolve(undefined);
      signal?.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    // A frame that was given up must not end the process when its cluster stops.
    used.catch(() => {});
    return await Promise.race([used, stopped]);
  } finally {
    for (const part of open.toReversed()) await part.stop();
    await rm(stateDir, { recursive: true, force: true });
  }
}
