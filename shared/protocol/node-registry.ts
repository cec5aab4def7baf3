import { failureOf } from '../errors.ts';
import { CENTRAL } from '../plan/plan.ts';
import type { Message } from '../ports.ts';
import { explain, type z } from '../schema.ts';
import { TokenBuckets } from '../token-buckets.ts';
import { type Heartbeat, heartbeat, type NodeInfo, nodeInfo } from './messages/node.ts';
import { parseNodeTopic } from './topics.ts';

/** Largest heartbeat that is read, bytes; a node with many plans lists fewer of them. */
export const MAX_HEARTBEAT_BYTES = 4096;
/** Rate limit of heartbeats that are read, by node; a node sends one a second. */
const HEARTBEATS = { burst: 20, perSecond: 4 } as const;
/** Longest status or info that is read, bytes. */
export const MAX_STATE_BYTES = 64 * 1024;
/** Most nodes that are known at a time; a plan names no more. */
const MAX_NODES = 1024;

/** A node as its retained topics and its last heartbeat describe it. */
export interface NodeRecord {
  readonly id: string;
  readonly online: boolean;
  readonly info: NodeInfo | undefined;
  /** The last heartbeat, also after the node has gone offline. */
  readonly heartbeat: Heartbeat | undefined;
  /** Time of that heartbeat on the clock given to `accept`, ms. */
  readonly heardAt: number | undefined;
}

/**
 * The meaning of a message on a node's topics. `online` and `info` may repeat a known state. `refused` changes nothing:
 * `text` has the reason, for a log with one line per `subject`.
 */
export type NodeNews =
  | { readonly kind: 'online' | 'offline' | 'info' | 'heartbeat'; readonly node: NodeRecord }
  | { readonly kind: 'refused'; readonly subject: string; readonly text: string };

type Writable = { -readonly [K in keyof NodeRecord]: NodeRecord[K] };

/**
 * The nodes of one base topic, from the messages on `<base>/node/<id>/{status,info,heartbeat}`.
 *
 * 1. A message that does not follow the protocol changes nothing.
 * 2. At most `MAX_NODES` are known; a node that is not online, or has published no info, makes room for another one.
 * 3. Heartbeats that are too large or above the rate are refused before they are parsed.
 */
export class NodeRegistry {
  readonly #base: string;
  readonly #nodes = new Map<string, Writable>();
  readonly #heartbeats = new TokenBuckets(HEARTBEATS);

  constructor(base: string) {
    this.#base = base;
  }

  /** All known nodes, by id. */
  get nodes(): ReadonlyMap<string, NodeRecord> {
    return this.#nodes;
  }

  /** Processes a message; `nowMs` is any steady clock. Undefined where it changes nothing. */
  accept({ topic, payload, retained }: Message, nowMs: number): NodeNews | undefined {
    const parsed = parseNodeTopic(this.#base, topic);
    if (parsed === undefined || parsed.node === CENTRAL || payload.byteLength > MAX_STATE_BYTES) return undefined;
    const { node: id, leaf } = parsed;
    if (leaf === 'heartbeat') return retained ? undefined : this.#heartbeat(id, topic, payload, nowMs);
    const text = textOf(payload);
    // An empty payload clears a retained topic.
    if (text === '' && !this.#nodes.has(id)) return undefined;
    if (leaf === 'status') return this.#status(id, topic, text);
    return leaf === 'info' ? this.#info(id, topic, text) : undefined;
  }

  #status(id: string, topic: string, text: string): NodeNews | undefined {
    if (text !== 'online' && text !== 'offline' && text !== '')
      return { kind: 'refused', subject: `status ${id}`, text: `${topic} is neither online nor offline` };
    if (text === 'online') return this.#change('online', id, { online: true });
    const wasOnline = this.#nodes.get(id)?.online === true;
    const news = this.#change('offline', id, { online: false });
    return wasOnline ? news : undefined;
  }

  #info(id: string, topic: string, text: string): NodeNews {
    if (text === '') return this.#change('info', id, { info: undefined });
    const info = read(nodeInfo, text);
    return 'fault' in info ? refused('info', id, topic, info.fault) : this.#change('info', id, { info: info.value });
  }

  #heartbeat(id: string, topic: string, payload: Uint8Array, nowMs: number): NodeNews {
    if (payload.byteLength > MAX_HEARTBEAT_BYTES) {
      const text = `${topic} is ignored: it has more than ${MAX_HEARTBEAT_BYTES} bytes`;
      return { kind: 'refused', subject: `large ${topic}`, text };
    }
    if (!this.#heartbeats.take(id, nowMs))
      return { kind: 'refused', subject: `flood ${topic}`, text: `${topic} exceeds the rate limit` };
    const beat = read(heartbeat, textOf(payload));
    if ('fault' in beat) return refused('heartbeat', id, topic, beat.fault);
    return this.#change('heartbeat', id, { heartbeat: beat.value, heardAt: nowMs });
  }

  #change(kind: Exclude<NodeNews['kind'], 'refused'>, id: string, change: Partial<NodeRecord>): NodeNews {
    const node = this.#nodes.get(id) ?? this.#added(id);
    if (node === undefined)
      return { kind: 'refused', subject: 'nodes', text: `node ${id} is ignored: ${MAX_NODES} nodes are online` };
    return { kind, node: Object.assign(node, change) };
  }

  #added(id: string): Writable | undefined {
    if (this.#nodes.size >= MAX_NODES) {
      const incomplete = [...this.#nodes.values()].find(({ online, info }) => !online || info === undefined);
      if (incomplete === undefined) return undefined;
      this.#nodes.delete(incomplete.id);
    }
    const node = { id, online: false, info: undefined, heartbeat: undefined, heardAt: undefined };
    this.#nodes.set(id, node);
    return node;
  }
}

function refused(leaf: string, id: string, topic: string, fault: string): NodeNews {
  return { kind: 'refused', subject: `${leaf} ${id}`, text: `${topic}: ${fault}` };
}

function textOf(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}

function read<T>(schema: z.ZodType<T>, text: string): { readonly value: T } | { readonly fault: string } {
  try {
    const result = schema.safeParse(JSON.parse(text));
    return result.success ? { value: result.data } : { fault: explain(result.error) };
  } catch (error) {
    return { fault: failureOf(error, 'TESSERA_MESSAGE_INVALID').message };
  }
}
