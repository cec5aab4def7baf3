import { Allowances } from '../shared/allowances.ts';
import { type Failure, failureOf } from '../shared/errors.ts';
import { Heartbeats, MAX_HEARTBEAT_BYTES } from '../shared/heartbeats.ts';
import { LogThrottle } from '../shared/log-throttle.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import type { Bus, Log, Message } from '../shared/ports.ts';
import { controlMessage } from '../shared/protocol/messages/control.ts';
import { heartbeat, type NodeInfo, nodeInfo, type PlanProgress } from '../shared/protocol/messages/node.ts';
import { inlineRegions, type WireRegion } from '../shared/protocol/messages/region.ts';
import { type ResultMessage, resultMessage } from '../shared/protocol/messages/work.ts';
import { parseNodeTopic, type Topics, WIRE_VERSION } from '../shared/protocol/topics.ts';
import type { Gate, Head, Wire } from '../shared/runtime/wire.ts';
import { explain } from '../shared/schema.ts';
import type { AnswerAddress, UntimedEvent } from './coordinator/events.ts';
import { Paced } from './paced.ts';

/** What `watchNodes` needs. */
export interface NodeRegistryOptions {
  readonly bus: Bus;
  readonly wire: Wire;
  readonly topics: Topics;
  readonly tell: (event: UntimedEvent) => void;
  /** Of this central. */
  readonly epoch: number;
  /** Hears which codecs a node announces, before the node is told as online. */
  readonly onCodecs?: (node: string, codecs: readonly string[]) => void;
  /** Hears how far a node that is online is with the plans that it was asked to prepare. */
  readonly onPlans?: (node: string, plans: readonly PlanProgress[]) => void;
  /** Whether results that a message announces are awaited; and how many results were of no use so far. */
  readonly isAwaited?: (of: AnswerAddress) => boolean;
  readonly unused?: () => number;
  /** Keeps a tile's undecoded outputs; returns their handle. */
  readonly keep: (plan: string, out: readonly WireRegion[]) => string;
  readonly log: Log;
}

/** Longest text of a node's status or info that is looked at. */
const MAX_TEXT = 64 * 1024;
/** Nodes that are known at a time; a plan names no more. */
const MAX_NODES = 1024;
/** Parts of a node's messages that are taken for a heartbeat: at once, and in the long run. */
const PARTS = { burst: 20, perSecond: 4 } as const;
/** Answers to `prepare` that a node may give: at once, and in the long run. */
const CONTROLS = { burst: 200, perSecond: 20 } as const;
/** Tiles that every node is trusted to hold, bytes. */
const MIN_TILE_BYTES = 16e6;

/**
 * Listens to node agents: what they are, whether they are there, and what they answer.
 *
 * A node is online when its status says so and its info can be read, in whatever order the two arrive. What is neither
 * is said in the log, once a minute and node, and changes nothing.
 */
export async function watchNodes(options: NodeRegistryOptions): Promise<void> {
  const { bus, wire, topics, tell, epoch, onCodecs, onPlans, isAwaited, unused, keep, log } = options;
  const infos = new Map<string, NodeInfo>();
  const online = new Set<string>();
  const throttledLog = new LogThrottle(log, () => performance.now());

  /** Whether one more may be known; those that are not online, or have not said what they are, make room. */
  const isRoomFor = (node: string, known: Map<string, unknown> | Set<string>, other: { has(id: string): boolean }) => {
    if (known.has(node) || known.size < MAX_NODES) return true;
    for (const id of known.keys()) if (!other.has(id)) return known.delete(id);
    throttledLog.warn('nodes', `node ${node} is not let in: ${MAX_NODES} are online`);
    return false;
  };

  const check = (node: string): void => {
    const info = infos.get(node);
    if (info === undefined || !online.has(node)) return;
    if (info.wire[0] > WIRE_VERSION || info.wire[1] < WIRE_VERSION) {
      const spoken = info.wire.join(' to ');
      throttledLog.warn(`wire ${node}`, `node ${node} speaks wire versions ${spoken}, not ${WIRE_VERSION}: update it`);
      return;
    }
    onCodecs?.(node, info.codecs);
    // Half of what sessions leave free may hold tiles; the rest is for everything else on the machine.
    const memory_bytes = Math.max(MIN_TILE_BYTES, (info.memory_mb - info.session_memory_mb) * 5e5);
    tell({ type: 'node-online', node, boot_id: info.boot_id, tier: info.tier, memory_bytes });
  };

  const onNode = ({ topic, payload }: Message): void => {
    const parsed = parseNodeTopic(topics.base, topic);
    if (parsed === undefined || parsed.node === CENTRAL || payload.byteLength > MAX_TEXT) return;
    const { node, leaf } = parsed;
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
    if (leaf === 'status') {
      if (text === 'online') {
        if (!isRoomFor(node, online, infos)) return;
        online.add(node);
        check(node);
      } else if (text !== 'offline' && text !== '') {
        throttledLog.warn(`status ${node}`, `${topic} says neither online nor offline`);
      } else if (online.delete(node)) tell({ type: 'node-offline', node });
      return;
    }
    if (text === '') {
      infos.delete(node);
      return;
    }
    const value = readJson(text);
    if ('failure' in value) {
      throttledLog.warn(`${leaf} ${node}`, `${topic}: ${value.failure.message}`);
    } else if (leaf === 'info') {
      const info = nodeInfo.safeParse(value.json);
      if (!info.success) throttledLog.warn(`info ${node}`, `${topic}: ${explain(info.error)}`);
      else if (isRoomFor(node, infos, online)) {
        infos.set(node, info.data);
        check(node);
      }
    } else if (leaf === 'heartbeat') {
      const beat = heartbeat.safeParse(value.json);
      if (!beat.success) {
        throttledLog.warn(`heartbeat ${node}`, `${topic}: ${explain(beat.error)}`);
        return;
      }
      const followed = beat.data.epoch ?? 0;
      if (followed > epoch)
        throttledLog.warn(
          `epoch ${node}`,
          `node ${node} follows epoch ${followed} and ignores this central, whose epoch is ${epoch}: it comes back by itself once nothing is heard of the other one`,
        );
      if (online.has(node)) onPlans?.(node, beat.data.plans ?? []);
      tell({ type: 'heartbeat', node });
    }
  };

  // Central speaks to its own executor directly: on the wire its name is somebody else's.
  // On a slow link heartbeats wait behind a large result, whose parts say as well that the node lives.
  const parts = new Allowances(PARTS);
  wire.onPart = (node) => {
    if (parts.take(node, performance.now())) tell({ type: 'heartbeat', node });
  };

  const isAsked = (node: string, { plan, i_id, stage, attempt }: Head): ReturnType<Gate> => {
    // Without these it is not known what the message is about.
    if (typeof plan !== 'string' || typeof i_id !== 'string') return 'unknown';
    if (typeof stage !== 'number' || typeof attempt !== 'number') return 'unknown';
    if (isAwaited === undefined) return 'unknown';
    return isAwaited({ node, plan, i_id, stage, attempt }) ? 'unknown' : 'unasked';
  };
  const controls = new Allowances(CONTROLS);
  const mayControl = (node: string): ReturnType<Gate> =>
    controls.take(node, performance.now()) ? 'unknown' : 'unasked';

  wire.on(
    'control',
    controlMessage,
    (node, message) => {
      if (node === CENTRAL) return;
      if (message.type === 'ready') {
        // Another run of the process said this: what it had loaded is gone.
        if (infos.get(node)?.boot_id !== message.boot_id) return;
        tell({ type: 'node-ready', node, plan: message.plan, ask: message.ask });
      } else if (message.type === 'refused') {
        const { plan, code, text, ask } = message;
        tell({ type: 'node-refused', node, plan, code, text, ask });
      }
    },
    mayControl,
  );

  wire.on(
    'result',
    resultMessage,
    (node, message: ResultMessage) => {
      if (node === CENTRAL) return false;
      const before = unused?.() ?? 0;
      const { plan, i_id, stage, attempt, queue_ms } = message;
      for (const tile of message.tiles) {
        const { t_id } = tile;
        const about = { node, plan, i_id, stage, t_id, attempt };
        if ('error' in tile) tell({ type: 'part-error', ...about, ...tile.error });
        else {
          // Everything is asked for inline: a receipt in place of it is as good as nothing.
          const out = inlineRegions(tile.out);
          const bytes = out.reduce((sum, region) => sum + region.d.byteLength, 0);
          const handle = keep(plan, out);
          tell({ type: 'part-result', ...about, bytes, compute_ms: tile.compute_ms, queue_ms, handle });
        }
      }
      return message.tiles.length > 0 && (unused?.() ?? 0) - before < message.tiles.length;
    },
    isAsked,
  );

  const floods = (topic: string): void =>
    throttledLog.warn(`flood ${topic}`, `${topic} is said faster than it is looked at`);
  const states = new Paced(onNode, floods);
  for (const filter of [topics.nodeStatusAll, topics.nodeInfoAll])
    await bus.subscribe(filter, 1, (message) => {
      if (message.payload.byteLength <= MAX_TEXT) states.accept(message);
    });
  const beats = new Heartbeats();
  await bus.subscribe(topics.heartbeatAll, 0, (message) => {
    const { topic, payload } = message;
    const verdict = beats.judge(topic, payload.byteLength, performance.now());
    if (verdict === 'read') onNode(message);
    else if (verdict === 'often') floods(topic);
    else throttledLog.warn(`large ${topic}`, `${topic} is not read: it has more than ${MAX_HEARTBEAT_BYTES} bytes`);
  });
}

function readJson(text: string): { json: unknown } | { failure: Failure } {
  try {
    return { json: JSON.parse(text) };
  } catch (error) {
    return { failure: failureOf(error, 'TESSERA_MESSAGE_INVALID') };
  }
}
