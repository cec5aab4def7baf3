import { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { PlanProgress } from '../../shared/protocol/messages/node.ts';
import { MAX_STATE_BYTES, type NodeRecord, type NodeRegistry } from '../../shared/protocol/node-registry.ts';
import { type Topics, WIRE_VERSION } from '../../shared/protocol/topics.ts';
import type { UntimedEvent } from '../coordinator/events.ts';
import { RateLimitedTopics } from './rate-limited-topics.ts';

/** What `watchNodes` needs. */
export interface NodeTopicsOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly registry: NodeRegistry;
  readonly tell: (event: UntimedEvent) => void;
  /** Of this central. */
  readonly epoch: number;
  /** Called with the codecs that a node announces, before the coordinator gets the event that the node is online. */
  readonly onCodecs: (node: string, codecs: readonly string[]) => void;
  /** Called with an online node's progress with the plans that it was asked to prepare. */
  readonly onPlans: (node: string, plans: readonly PlanProgress[]) => void;
  readonly log: Log;
}

/** Bytes of tiles that every node is assumed to have room for. */
const MIN_TILE_BYTES = 16e6;

/**
 * Follows the topics of the nodes and tells the coordinator which nodes are online and alive. A node is online when its
 * status says so and its info could be read, in whatever order the two arrive. Messages that do not follow the protocol
 * are logged, once a minute and node.
 */
export async function watchNodes(options: NodeTopicsOptions): Promise<void> {
  const { bus, topics, registry, tell, epoch, onCodecs, onPlans, log } = options;
  const throttledLog = new LogThrottle(log, () => performance.now());

  const onPresent = ({ id, online, info }: NodeRecord): void => {
    if (!online || info === undefined) return;
    if (info.wire[0] > WIRE_VERSION || info.wire[1] < WIRE_VERSION) {
      const spoken = info.wire.join(' to ');
      throttledLog.warn(`wire ${id}`, `node ${id} speaks wire versions ${spoken}, not ${WIRE_VERSION}: update it`);
      return;
    }
    onCodecs(id, info.codecs);
    // Half of the memory that sessions leave free may hold tiles; the rest is for everything else on the machine.
    const memory_bytes = Math.max(MIN_TILE_BYTES, (info.memory_mb - info.session_memory_mb) * 5e5);
    tell({ type: 'node-online', node: id, boot_id: info.boot_id, tier: info.tier, memory_bytes });
  };

  const onHeartbeat = ({ id, online, heartbeat }: NodeRecord): void => {
    const followed = heartbeat?.epoch ?? 0;
    if (followed > epoch)
      throttledLog.warn(
        `epoch ${id}`,
        `node ${id} follows epoch ${followed} and ignores this central, whose epoch is ${epoch}: it recovers by itself once the other central sends nothing more`,
      );
    if (online) onPlans(id, heartbeat?.plans ?? []);
    tell({ type: 'heartbeat', node: id });
  };

  const onMessage = (message: Message): void => {
    const news = registry.accept(message, performance.now());
    if (news?.kind === 'refused') throttledLog.warn(news.subject, news.text);
    else if (news?.kind === 'heartbeat') onHeartbeat(news.node);
    else if (news?.kind === 'offline') tell({ type: 'node-offline', node: news.node.id });
    else if (news !== undefined) onPresent(news.node);
  };

  const states = new RateLimitedTopics(onMessage, (topic) =>
    throttledLog.warn(`flood ${topic}`, `${topic} is published faster than central reads it`),
  );
  for (const filter of [topics.nodeStatusAll, topics.nodeInfoAll])
    await bus.subscribe(filter, 1, (message) => {
      if (message.payload.byteLength <= MAX_STATE_BYTES) states.accept(message);
    });
  await bus.subscribe(topics.heartbeatAll, 0, onMessage);
}
