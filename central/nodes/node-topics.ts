import { setTimeout as pause } from 'node:timers/promises';
import { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, Log, Message } from '../../shared/ports.ts';
import type { NodeInfo, PlanProgress } from '../../shared/protocol/messages/node.ts';
import { MAX_STATE_BYTES, type NodeNews, type NodeRecord, NodeRegistry } from '../../shared/protocol/node-registry.ts';
import { type Topics, WIRE_VERSION } from '../../shared/protocol/topics.ts';
import type { UntimedEvent } from '../coordinator/events.ts';
import type { PlanningNode } from '../planner/strategy.ts';
import { RateLimitedTopics } from './rate-limited-topics.ts';

/** Receives what nodes publish about themselves, for an active central. */
export interface NodeFollower {
  readonly tell: (event: UntimedEvent) => void;
  /** Of this central. */
  readonly epoch: number;
  /** Called with the codecs that a node announces, before the coordinator gets the event that the node is online. */
  readonly onCodecs: (node: string, codecs: readonly string[]) => void;
  /** Called with an online node's progress with the plans that it was asked to prepare. */
  readonly onPlans: (node: string, plans: readonly PlanProgress[]) => void;
}

/** What `NodeTopics` needs. */
export interface NodeTopicsOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly log: Log;
  /** Called when the nodes that can get work may have changed. */
  readonly onChange?: () => void;
}

/** Bytes of tiles that every node is assumed to have room for. */
const MIN_TILE_BYTES = 16e6;
/** Retained states arrive one after another; after this much silence all of them have arrived, ms. */
const QUIET_MS = 300;
/** Bits of `throttled` in heartbeats: a lower clock rate, throttling and the soft temperature limit, now. */
const SLOWED = 0b1110;
/** Longest wait for retained states after the subscription, ms. */
const PATIENCE_MS = 3000;

/**
 * Follows the topics of the nodes, also while this central is not the active one. A node is online when its status says
 * so and its info could be read, in whatever order the two arrive. Messages that do not follow the protocol are logged,
 * once a minute and node.
 */
export class NodeTopics {
  readonly registry: NodeRegistry;
  readonly #options: NodeTopicsOptions;
  readonly #throttledLog: LogThrottle;
  #follower: NodeFollower | undefined;
  #started: Promise<void> | undefined;
  /** Time of the last status or info, ms. */
  #heard = 0;

  constructor(options: NodeTopicsOptions) {
    this.#options = options;
    this.registry = new NodeRegistry(options.topics.base);
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
  }

  /** Subscribes, once. Throws TESSERA_BROKER where the broker refuses that. */
  start(): Promise<void> {
    this.#started ??= this.#subscribe();
    return this.#started;
  }

  /** Resolves when the states that the broker retains have arrived: as soon as it is reached, and at most 3 s later. */
  async known(): Promise<void> {
    await this.start();
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const now = performance.now();
      const quietAt = Math.min(this.#heard + QUIET_MS, end);
      if (now >= quietAt) return;
      await pause(quietAt - now);
    }
  }

  /** The nodes that are online and speak the wire version of this central. */
  get present(): PlanningNode[] {
    return [...this.registry.nodes.values()].flatMap(({ id, online, info }) => {
      if (!online || info === undefined || !speaksOurs(info)) return [];
      const { tier, memory_mb, codecs, splits } = info;
      return [{ id, tier, memory_mb, codecs, splits }];
    });
  }

  /** Whether a node says that it runs slower, lest it get too hot or too little power. */
  isThrottled(node: string): boolean {
    return (Number(this.registry.nodes.get(node)?.heartbeat?.throttled ?? 0) & SLOWED) !== 0;
  }

  /** Tells the follower which nodes are online now, and everything that nodes publish from now on. */
  follow(follower: NodeFollower): void {
    this.#follower = follower;
    for (const node of this.registry.nodes.values()) this.#onPresent(node);
  }

  async #subscribe(): Promise<void> {
    const { bus, topics } = this.#options;
    const states = new RateLimitedTopics(
      (message) => this.#onMessage(message),
      (topic) => this.#throttledLog.warn(`flood ${topic}`, `${topic} is published faster than central reads it`),
    );
    for (const filter of [topics.nodeStatusAll, topics.nodeInfoAll])
      await bus.subscribe(filter, 1, (message) => {
        this.#heard = performance.now();
        if (message.payload.byteLength <= MAX_STATE_BYTES) states.accept(message);
      });
    await bus.subscribe(topics.heartbeatAll, 0, (message) => this.#onMessage(message));
    this.#heard = performance.now();
  }

  #onMessage(message: Message): void {
    const news = this.registry.accept(message, performance.now());
    if (news === undefined) return;
    if (news.kind === 'refused') this.#throttledLog.warn(news.subject, news.text);
    else if (news.kind === 'heartbeat') this.#onHeartbeat(news.node);
    else this.#onState(news.kind, news.node);
  }

  #onState(kind: Exclude<NodeNews['kind'], 'refused' | 'heartbeat'>, node: NodeRecord): void {
    if (kind === 'offline') this.#follower?.tell({ type: 'node-offline', node: node.id });
    else this.#onPresent(node);
    this.#options.onChange?.();
  }

  #onPresent({ id, online, info }: NodeRecord): void {
    if (!online || info === undefined) return;
    if (!speaksOurs(info)) {
      const spoken = info.wire.join(' to ');
      this.#throttledLog.warn(
        `wire ${id}`,
        `node ${id} speaks wire versions ${spoken}, not ${WIRE_VERSION}: update it`,
      );
      return;
    }
    this.#follower?.onCodecs(id, info.codecs);
    // Half of the memory that sessions leave free may hold tiles; the rest is for everything else on the machine.
    const memory_bytes = Math.max(MIN_TILE_BYTES, (info.memory_mb - info.session_memory_mb) * 5e5);
    const holds_frames = info.features.includes('frames');
    this.#follower?.tell({
      type: 'node-online',
      node: id,
      boot_id: info.boot_id,
      tier: info.tier,
      memory_bytes,
      holds_frames,
    });
  }

  #onHeartbeat({ id, online, heartbeat }: NodeRecord): void {
    if (this.#follower === undefined) return;
    const { tell, epoch, onPlans } = this.#follower;
    const followed = heartbeat?.epoch ?? 0;
    if (followed > epoch)
      this.#throttledLog.warn(
        `epoch ${id}`,
        `node ${id} follows epoch ${followed} and ignores this central, whose epoch is ${epoch}: it recovers by itself once the other central sends nothing more`,
      );
    if (online) onPlans(id, heartbeat?.plans ?? []);
    tell({ type: 'heartbeat', node: id });
  }
}

function speaksOurs({ wire: [oldest, newest] }: NodeInfo): boolean {
  return oldest <= WIRE_VERSION && WIRE_VERSION <= newest;
}
