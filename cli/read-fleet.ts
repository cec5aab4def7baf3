import { setTimeout as sleep } from 'node:timers/promises';
import { CENTRAL } from '../shared/plan/plan.ts';
import type { Bus, Message } from '../shared/ports.ts';
import {
  type CentralModels,
  type CentralStatus,
  centralModels,
  centralStatus,
  type PlanStatus,
  planStatus,
} from '../shared/protocol/messages/central.ts';
import { drainedNodes, type LeftOut, leftOut } from '../shared/protocol/messages/node.ts';
import {
  type UpdateManifest,
  type UpdateReport,
  updateManifest,
  updateReport,
} from '../shared/protocol/messages/update.ts';
import { MAX_STATE_BYTES, type NodeRecord, NodeRegistry } from '../shared/protocol/node-registry.ts';
import { parseNodeTopic, type Topics } from '../shared/protocol/topics.ts';
import type { z } from '../shared/schema.ts';

/** Topics that a connection may have no right to read. */
export type TopicGroup = 'status' | 'plans' | 'nodes';

/** Centrals, plans and nodes as they announce themselves. */
export interface FleetView {
  /** Topics that this connection may not read, and the refusal. */
  readonly hidden: ReadonlyMap<TopicGroup, unknown>;
  /** Whether an active central is online. */
  readonly central: boolean;
  readonly centrals: readonly CentralStatus[];
  /** Active plans by model. */
  readonly plans: ReadonlyMap<string, PlanStatus>;
  readonly models: CentralModels['models'];
  /** In the order of their ids; `heardAt` is Unix time in ms. */
  readonly nodes: readonly NodeRecord[];
  /** Nodes that the active central gives no work, and why. */
  readonly leftOut: ReadonlyMap<string, string>;
  /** Nodes that somebody drained. */
  readonly drained: ReadonlySet<string>;
  /** What nodes are to run, and how far each is. */
  readonly update: UpdateManifest | undefined;
  readonly reports: ReadonlyMap<string, UpdateReport>;
}

/** Heartbeats come every second. */
const HEARTBEAT_MS = 3000;
/** Retained messages come at once; after this much silence there are no more. */
const QUIET_MS = 300;

/**
 * Collects what the broker retains of centrals and nodes and, with `heartbeats`, one heartbeat of each node that is
 * online. Takes about a second, and 3 s when an online node keeps silent.
 */
export async function readFleet(
  bus: Bus,
  topics: Topics,
  { heartbeats, signal }: { readonly heartbeats: boolean; readonly signal: AbortSignal },
): Promise<FleetView> {
  const registry = new NodeRegistry(topics.base);
  const hidden = new Map<TopicGroup, unknown>();
  const centrals = new Map<string, CentralStatus>();
  const plans = new Map<string, PlanStatus>();
  let models: CentralModels['models'] = {};
  let out: LeftOut['nodes'] = {};
  let drained: readonly string[] = [];
  let update: UpdateManifest | undefined;
  const reports = new Map<string, UpdateReport>();
  let central = false;
  let last = performance.now();

  const follow = async (group: TopicGroup, filter: string, take: (message: Message) => void): Promise<void> => {
    const handler = (message: Message): void => {
      last = performance.now();
      take(message);
    };
    await bus
      .subscribe(filter, filter === topics.heartbeatAll ? 0 : 1, handler)
      .catch((error: unknown) => void hidden.set(group, error));
  };
  const onNode = (message: Message): void => void registry.accept(message, Date.now());
  await follow('status', topics.status, ({ payload }) => {
    central = textOf(payload) === 'online';
  });
  await follow('plans', topics.centralStatusAll, ({ payload }) => {
    const status = read(centralStatus, payload);
    if (status !== undefined) centrals.set(status.id, status);
  });
  await follow('plans', topics.centralLeftOut(CENTRAL), ({ payload }) => {
    out = read(leftOut, payload)?.nodes ?? {};
  });
  await follow('plans', topics.centralDrained(CENTRAL), ({ payload }) => {
    drained = read(drainedNodes, payload)?.nodes ?? [];
  });
  await follow('plans', topics.update, ({ payload }) => {
    update = read(updateManifest, payload);
  });
  await follow('nodes', topics.nodeUpdateAll, ({ topic, payload }) => {
    const node = parseNodeTopic(topics.base, topic)?.node;
    const report = read(updateReport, payload);
    if (node !== undefined && report !== undefined) reports.set(node, report);
  });
  await follow('plans', topics.centralModels(CENTRAL), ({ payload }) => {
    models = read(centralModels, payload)?.models ?? {};
  });
  await follow('plans', topics.planAll, ({ topic, payload }) => {
    const status = read(planStatus, payload);
    if (status !== undefined) plans.set(topic.slice(topics.plan('').length), status);
  });
  await follow('nodes', topics.nodeStatusAll, onNode);
  await follow('nodes', topics.nodeInfoAll, onNode);
  if (heartbeats) await follow('nodes', topics.heartbeatAll, onNode);

  const isComplete = (): boolean =>
    !heartbeats ||
    hidden.has('nodes') ||
    [...registry.nodes.values()].every(({ online, heartbeat }) => !online || heartbeat !== undefined);
  const start = performance.now();
  while (performance.now() - start < HEARTBEAT_MS) {
    await sleep(50, undefined, { signal });
    const now = performance.now();
    if (now - start > QUIET_MS && now - last > QUIET_MS && isComplete()) break;
  }
  return {
    hidden,
    central,
    centrals: [...centrals.values()],
    plans,
    models,
    nodes: [...registry.nodes.values()].sort((a, b) => (a.id < b.id ? -1 : 1)),
    // Verdicts of a central that is gone do not count.
    drained: new Set(drained),
    update,
    reports,
    leftOut: new Map(Object.entries(central ? out : {}).map(([id, { reason }]) => [id, reason])),
  };
}

function textOf(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}

function read<T>(schema: z.ZodType<T>, payload: Uint8Array): T | undefined {
  if (payload.length > MAX_STATE_BYTES) return undefined;
  try {
    const result = schema.safeParse(JSON.parse(textOf(payload)));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
