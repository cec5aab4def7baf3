import { monitorEventLoopDelay } from 'node:perf_hooks';
import { LogThrottle } from '../shared/log-throttle.ts';
import type { Bus, Log } from '../shared/ports.ts';
import type { NodeInfo, PlanProgress, RegionStats } from '../shared/protocol/messages/node.ts';
import type { Topics } from '../shared/protocol/topics.ts';
import { heartbeatOf } from './heartbeat.ts';
import type { StaticInfo } from './node-info.ts';
import type { SystemMetricsWatch } from './system-metrics.ts';

/** What a node's presence needs. */
export interface PresenceOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly info: StaticInfo;
  readonly metrics: SystemMetricsWatch;
  /** Queued and running parts, kept regions, the node's own speed, and the epoch of the central that it follows. */
  readonly load: () => {
    readonly queue: number;
    readonly regions: RegionStats;
    readonly partsPerSecond: number;
    readonly epoch: number;
    readonly plans: readonly PlanProgress[];
  };
  readonly log: Log;
}

/** The published presence of a node. */
export interface Presence {
  /** Announces a model whose blobs are here. */
  addModel(name: string, sha256: string): void;
  /** Publishes `offline`; resolves when the broker has it, or after a second. */
  stop(): Promise<void>;
}

const HEARTBEAT_MS = 1000;
const LOOP_RESOLUTION_MS = 50;
/** Most models that are announced, the newest. */
const MAX_MODELS = 64;

/**
 * Announces the node at once and after every connection: first info, so that it is there for every subscriber that sees
 * `online`, then `online`, then a heartbeat every second. The connection's last will is `offline`.
 */
export function announce(options: PresenceOptions): Presence {
  const { bus, topics, info, log } = options;
  const models = new Map<string, string>();
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  loop.enable();
  const throttledLog = new LogThrottle(log, () => performance.now());
  let connections = 0;
  let stopping = false;
  let repeatedAt = Number.NEGATIVE_INFINITY;

  const publishInfo = (): Promise<void> => {
    const full: NodeInfo = {
      ...info,
      session: `${info.boot_id.slice(0, 8)}-${connections}`,
      models: [...models].map(([sha256, name]) => ({ name, sha256 })),
    };
    return bus.publish(topics.nodeInfo(info.id), JSON.stringify(full), { qos: 1, retain: true });
  };
  const publishStatus = (status: 'online' | 'offline'): Promise<void> =>
    bus.publish(topics.nodeStatus(info.id), status, { qos: 1, retain: true });
  const complain = (error: unknown): void => log.warn(`the node could not announce itself: ${String(error)}`);

  const beat = (): void => {
    if (!bus.connected) return;
    const heartbeat = heartbeatOf({
      time: Date.now() / 1000,
      metrics: options.metrics.latest,
      ...options.load(),
      // The histogram measures from tick to tick, so an idle loop shows the resolution.
      loopDelayMs: loop.max / 1e6 - LOOP_RESOLUTION_MS,
      rssBytes: process.memoryUsage.rss(),
      uptimeSec: process.uptime(),
    });
    loop.reset();
    bus.publish(topics.heartbeat(info.id), JSON.stringify(heartbeat)).catch(complain);
  };

  bus.onConnect(() => {
    if (stopping) return;
    connections++;
    publishInfo().catch(complain);
    publishStatus('online').catch(complain);
    beat();
  });
  // The last will of an earlier connection, which the broker took for alive, may be published after this one's
  // `online`.
  bus
    .subscribe(topics.nodeStatus(info.id), 1, ({ payload, retained }) => {
      const offline = Buffer.from(payload).toString('utf8') === 'offline';
      const now = performance.now();
      if (!offline || retained || stopping || !bus.connected || now - repeatedAt < HEARTBEAT_MS) return;
      repeatedAt = now;
      publishStatus('online').catch(complain);
    })
    .catch(complain);
  bus
    .subscribe(topics.nodeInfo(info.id), 1, ({ payload, retained }) => {
      // A retained message from before the first connection is this node's own from an earlier start.
      if ((retained && connections <= 1) || stopping || Buffer.from(payload).toString('utf8').includes(info.boot_id))
        return;
      throttledLog.warn(info.id, `another node announces itself with the id "${info.id}": give one of them another id`);
    })
    .catch(complain);
  const timer = setInterval(beat, HEARTBEAT_MS);

  return {
    addModel(name, sha256) {
      if (models.get(sha256) === name) return;
      models.delete(sha256);
      models.set(sha256, name);
      const oldest = models.keys().next().value;
      if (models.size > MAX_MODELS && oldest !== undefined) models.delete(oldest);
      publishInfo().catch(complain);
    },
    async stop() {
      if (stopping) return;
      stopping = true;
      clearInterval(timer);
      loop.disable();
      if (!bus.connected) return;
      let late: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((resolve) => {
        late = setTimeout(resolve, 1000);
      });
      await Promise.race([publishStatus('offline').catch(complain), timeout]);
      clearTimeout(late);
    },
  };
}
