import { setTimeout as sleep } from 'node:timers/promises';
import { Heartbeats } from '../shared/heartbeats.ts';
import { CENTRAL } from '../shared/plan/plan.ts';
import type { Bus, Message } from '../shared/ports.ts';
import {
  type Heartbeat,
  heartbeat,
  type LeftOut,
  leftOut,
  type NodeInfo,
  nodeInfo,
} from '../shared/protocol/messages/node.ts';
import { parseNodeTopic, type Topics } from '../shared/protocol/topics.ts';
import type { z } from '../shared/schema.ts';

/** What is known of a node from what it says of itself. */
export interface NodeView {
  readonly id: string;
  online: boolean;
  info: NodeInfo | undefined;
  heartbeat: Heartbeat | undefined;
  /** Why central gives it no work although it is there; undefined where it does. */
  leftOut?: string | undefined;
}

/** The fleet as it is announced. */
export interface FleetView {
  /** Whether a central works on this broker. */
  central: boolean;
  readonly nodes: readonly NodeView[];
}

/** Heartbeats come every second; one may be on its way. */
const HEARTBEAT_WAIT_MS = 2_500;
/** What the broker keeps comes at once; after this much silence there is no more. */
const QUIET_MS = 300;

/**
 * Collects what nodes announce: what the broker keeps of them and, with `heartbeats`, one heartbeat of each that is
 * online. Takes about a second, at most 2.5 s when a node that is called online keeps silent.
 */
export async function readFleet(
  bus: Bus,
  topics: Topics,
  { heartbeats, signal }: { readonly heartbeats: boolean; readonly signal: AbortSignal },
): Promise<FleetView> {
  const nodes = new Map<string, NodeView>();
  const fleet = { central: false };
  let out: LeftOut['nodes'] = {};
  let last = performance.now();
  const nodeOf = (id: string): NodeView => {
    const known = nodes.get(id) ?? { id, online: false, info: undefined, heartbeat: undefined };
    nodes.set(id, known);
    return known;
  };
  const on = (leaf: string, take: (node: string, payload: Uint8Array) => void) => (message: Message) => {
    const topic = parseNodeTopic(topics.base, message.topic);
    // An empty payload is how a retained topic is cleared.
    if (topic?.leaf !== leaf || message.payload.length === 0) return;
    last = performance.now();
    take(topic.node, message.payload);
  };
  await bus.subscribe(topics.status, 1, ({ payload }) => {
    fleet.central = textOf(payload) === 'online';
  });
  // Not everybody may read it.
  await bus
    .subscribe(topics.centralLeftOut(CENTRAL), 1, ({ payload }) => {
      out = read(leftOut, payload)?.nodes ?? {};
    })
    .catch(() => {});
  await bus.subscribe(
    topics.nodeStatusAll,
    1,
    on('status', (id, payload) => {
      nodeOf(id).online = textOf(payload) === 'online';
    }),
  );
  await bus.subscribe(
    topics.nodeInfoAll,
    1,
    on('info', (id, payload) => {
      nodeOf(id).info = read(nodeInfo, payload);
    }),
  );
  if (heartbeats) {
    const beats = new Heartbeats();
    await bus.subscribe(
      topics.heartbeatAll,
      0,
      on('heartbeat', (id, payload) => {
        if (beats.judge(id, payload.byteLength, performance.now()) === 'read')
          nodeOf(id).heartbeat = read(heartbeat, payload);
      }),
    );
  }
  const start = performance.now();
  const complete = (): boolean =>
    [...nodes.values()].every(({ online, heartbeat }) => !heartbeats || !online || heartbeat !== undefined);
  while (performance.now() - start < HEARTBEAT_WAIT_MS) {
    await sleep(50, undefined, { signal });
    const now = performance.now();
    if (now - start > QUIET_MS && now - last > QUIET_MS && complete()) break;
  }
  // What an earlier central found counts no more.
  if (fleet.central) for (const [id, { reason }] of Object.entries(out)) nodeOf(id).leftOut = reason;
  return { ...fleet, nodes: [...nodes.values()].sort((a, b) => (a.id < b.id ? -1 : 1)) };
}

function textOf(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}

function read<T>(schema: z.ZodType<T>, payload: Uint8Array): T | undefined {
  try {
    const result = schema.safeParse(JSON.parse(textOf(payload)));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
