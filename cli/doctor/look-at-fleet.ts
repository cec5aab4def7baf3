import { setTimeout as sleep } from 'node:timers/promises';
import { Heartbeats } from '../../shared/heartbeats.ts';
import { CENTRAL } from '../../shared/plan/plan.ts';
import type { Bus, Message } from '../../shared/ports.ts';
import {
  type CentralModels,
  centralModels,
  centralStatus,
  planStatus,
} from '../../shared/protocol/messages/central.ts';
import {
  type Heartbeat,
  heartbeat,
  type LeftOut,
  leftOut,
  type NodeInfo,
  nodeInfo,
} from '../../shared/protocol/messages/node.ts';
import { parseNodeTopic, topics } from '../../shared/protocol/topics.ts';
import { packageVersion } from '../../shared/runtime/version.ts';
import type { z } from '../../shared/schema.ts';
import type { FleetFacts } from './fleet.ts';

/** Heartbeats come every second. */
const HEARTBEAT_MS = 3000;
/** What the broker keeps comes at once; after this much silence there is no more. */
const QUIET_MS = 300;
/** Text of a node that is looked at, bytes. */
const MAX_TEXT = 64 * 1024;

interface Heard {
  online: boolean;
  info: NodeInfo | undefined;
  heartbeat: Heartbeat | undefined;
  heardAt: number | undefined;
}

/** Listens to what central and nodes announce, for at most 3 s; shorter when every node that is online was heard. */
export async function lookAtFleet(bus: Bus, base: string, signal: AbortSignal): Promise<FleetFacts> {
  const names = topics(base);
  const nodes = new Map<string, Heard>();
  const plans = new Map<string, number>();
  const centrals = new Map<string, { readonly state: string; readonly epoch: number }>();
  let out: LeftOut['nodes'] = {};
  let models: CentralModels['models'] = {};
  let central = false;
  let last = performance.now();

  const onNode = ({ topic, payload, retained }: Message): void => {
    const parsed = parseNodeTopic(base, topic);
    // An empty payload is how a retained topic is cleared.
    if (parsed === undefined || payload.length === 0 || payload.length > MAX_TEXT) return;
    const { node: id, leaf } = parsed;
    const node = nodes.get(id) ?? { online: false, info: undefined, heartbeat: undefined, heardAt: undefined };
    nodes.set(id, node);
    last = performance.now();
    if (leaf === 'status') node.online = textOf(payload) === 'online';
    else if (leaf === 'info') node.info = read(nodeInfo, payload);
    else if (leaf === 'heartbeat' && !retained) {
      node.heartbeat = read(heartbeat, payload);
      node.heardAt = Date.now() / 1000;
    }
  };
  const onPlan = ({ topic, payload }: Message): void => {
    const status = payload.length > MAX_TEXT ? undefined : read(planStatus, payload);
    last = performance.now();
    if (status !== undefined) plans.set(topic.slice(names.plan('').length), status.since);
  };

  const hidden = new Set<FleetFacts['hidden'][number]>();
  const follow = (
    what: FleetFacts['hidden'][number],
    filter: string,
    qos: 0 | 1,
    handler: (message: Message) => void,
  ) => bus.subscribe(filter, qos, handler).catch(() => hidden.add(what));
  await follow('status', names.status, 1, ({ payload }) => {
    central = textOf(payload) === 'online';
  });
  await follow('plans', names.centralStatusAll, 1, ({ payload }) => {
    const status = payload.length > MAX_TEXT ? undefined : read(centralStatus, payload);
    if (status !== undefined) centrals.set(status.id, status);
  });
  await follow('plans', names.centralLeftOut(CENTRAL), 1, ({ payload }) => {
    out = (payload.length > MAX_TEXT ? undefined : read(leftOut, payload))?.nodes ?? {};
  });
  for (const filter of [names.nodeStatusAll, names.nodeInfoAll]) await follow('nodes', filter, 1, onNode);
  await follow('plans', names.centralModels(CENTRAL), 1, ({ payload }) => {
    models = (payload.length > MAX_TEXT ? undefined : read(centralModels, payload))?.models ?? {};
  });
  await follow('plans', names.planAll, 1, onPlan);
  const beats = new Heartbeats();
  await follow('nodes', names.heartbeatAll, 0, (message) => {
    if (beats.judge(message.topic, message.payload.byteLength, performance.now()) === 'read') onNode(message);
  });
  const started = performance.now();
  const heard = (): boolean =>
    hidden.has('nodes') || [...nodes.values()].every((node) => !node.online || node.heartbeat !== undefined);
  while (performance.now() - started < HEARTBEAT_MS) {
    await sleep(50, undefined, { signal });
    const now = performance.now();
    if (now - started > QUIET_MS && now - last > QUIET_MS && heard()) break;
  }
  return {
    hidden: [...hidden],
    central,
    centrals: [...centrals].map(([id, { state, epoch }]) => ({ id, state, epoch })),
    plans: [...plans].map(([model, since]) => ({ model, since })),
    refused: Object.entries(models).flatMap(([model, { state, error }]) =>
      state === 'refused'
        ? [
            {
              model,
              error: {
                message: error?.message ?? 'it says not why',
                ...(error?.hint === undefined ? {} : { hint: error.hint }),
              },
            },
          ]
        : [],
    ),
    nodes: [...nodes].map(([id, node]) => ({ id, ...node })).sort((a, b) => (a.id < b.id ? -1 : 1)),
    leftOut: new Map(Object.entries(central ? out : {}).map(([id, { reason }]) => [id, reason])),
    version: packageVersion(),
    now: Date.now() / 1000,
  };
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
