import { type Failure, failureOf } from '../shared/errors.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import type { Bus, Log, Message } from '../shared/ports.ts';
import {
  controlMessage,
  heartbeat,
  type NodeInfo,
  nodeInfo,
  type ResultMessage,
  resultMessage,
  type WireRegion,
} from '../shared/protocol/messages.ts';
import { parseNodeTopic, type Topics, WIRE_VERSION } from '../shared/protocol/topics.ts';
import type { Wire } from '../shared/runtime/wire.ts';
import { explain } from '../shared/schema.ts';
import type { Event } from './coordinator/events.ts';

/** An event without its time, which the shell adds. */
export type Untimed<E extends Event = Event> = E extends Event ? Omit<E, 'at'> : never;

/** What `watchFleet` needs. */
export interface FleetOptions {
  readonly bus: Bus;
  readonly wire: Wire;
  readonly topics: Topics;
  readonly tell: (event: Untimed) => void;
  /** Keeps a tile's undecoded outputs; returns their handle. */
  readonly keep: (plan: string, out: readonly WireRegion[]) => string;
  readonly log: Log;
}

/** Longest text of a node's status or heartbeat that is looked at. */
const MAX_TEXT = 64 * 1024;
/** Tiles that every node is trusted to hold, bytes. */
const MIN_TILE_BYTES = 16e6;

/**
 * Listens to node agents: what they are, whether they are there, and what they answer.
 *
 * A node is online when its status says so and its info can be read, in whatever order the two arrive.
 */
export async function watchFleet({ bus, wire, topics, tell, keep, log }: FleetOptions): Promise<void> {
  const infos = new Map<string, NodeInfo>();
  const online = new Set<string>();

  const check = (node: string): void => {
    const info = infos.get(node);
    if (info === undefined || !online.has(node)) return;
    if (info.wire[0] > WIRE_VERSION || info.wire[1] < WIRE_VERSION) {
      log.warn(`node ${node} speaks wire versions ${info.wire.join(' to ')}, not ${WIRE_VERSION}: update it`);
      return;
    }
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
        online.add(node);
        check(node);
      } else if (online.delete(node)) tell({ type: 'node-offline', node });
      return;
    }
    if (text === '') {
      infos.delete(node);
      return;
    }
    const value = readJson(text);
    if ('failure' in value) {
      log.warn(`${topic}: ${value.failure.message}`);
    } else if (leaf === 'info') {
      const info = nodeInfo.safeParse(value.json);
      if (!info.success) log.warn(`${topic}: ${explain(info.error)}`);
      else {
        infos.set(node, info.data);
        check(node);
      }
    } else if (leaf === 'heartbeat' && heartbeat.safeParse(value.json).success) tell({ type: 'heartbeat', node });
  };

  wire.on('control', controlMessage, (node, message) => {
    if (message.type === 'ready') {
      // Another run of the process said this: what it had loaded is gone.
      if (infos.get(node)?.boot_id !== message.boot_id) return;
      tell({ type: 'node-ready', node, plan: message.plan });
    } else if (message.type === 'refused') {
      const { plan, code, text } = message;
      tell({ type: 'node-refused', node, plan, code, text });
    }
  });

  wire.on('result', resultMessage, (node, message: ResultMessage) => {
    const { plan, i_id, stage, attempt, queue_ms } = message;
    for (const tile of message.tiles) {
      const { t_id } = tile;
      const about = { node, plan, i_id, stage, t_id, attempt };
      if ('error' in tile) tell({ type: 'tile-error', ...about, ...tile.error });
      else {
        const bytes = tile.out.reduce((sum, region) => sum + region.d.byteLength, 0);
        const handle = keep(plan, tile.out);
        tell({ type: 'tile-result', ...about, bytes, compute_ms: tile.compute_ms, queue_ms, handle });
      }
    }
  });

  for (const filter of [topics.nodeStatusAll, topics.nodeInfoAll]) await bus.subscribe(filter, 1, onNode);
  await bus.subscribe(topics.heartbeatAll, 0, onNode);
}

function readJson(text: string): { json: unknown } | { failure: Failure } {
  try {
    return { json: JSON.parse(text) };
  } catch (error) {
    return { failure: failureOf(error, 'TESSERA_MESSAGE_INVALID') };
  }
}
