import { TesseraError } from '../shared/errors.ts';
import type { Bus, Message } from '../shared/ports.ts';
import type { Topics } from '../shared/protocol/topics.ts';

/** Retained messages follow the acknowledgement of a subscription at once; this time is for slow brokers. */
const RETAINED_MS = 300;
/** Time for two heartbeats, one of which may be lost. */
const HEARTBEAT_MS = 2500;

/**
 * Makes sure that no other process uses this id, before this one connects with it and so disconnects the other one. A
 * status `online` alone proves nothing, since a broker keeps it after a crash: only a heartbeat does. `bus` must be
 * connected under another client id. Throws TESSERA_NODE_DUPLICATE.
 */
export async function refuseDuplicate(bus: Bus, topics: Topics, id: string): Promise<void> {
  let online = false;
  let hardware = '';
  const events = new EventTarget();
  const onMessage = ({ topic, payload, retained }: Message): void => {
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
    if (topic === topics.nodeStatus(id)) {
      online = text === 'online';
      events.dispatchEvent(new Event(online ? 'online' : 'offline'));
    } else if (topic === topics.nodeInfo(id)) hardware = hardwareOf(text);
    else if (topic === topics.heartbeat(id) && !retained) events.dispatchEvent(new Event('heartbeat'));
  };
  await bus.subscribe(topics.nodeInfo(id), 1, onMessage);
  await bus.subscribe(topics.heartbeat(id), 0, onMessage);
  await bus.subscribe(topics.nodeStatus(id), 1, onMessage);
  // Retained messages may arrive before the acknowledgement, and so before the event is awaited.
  const first = online ? 'online' : await firstEvent(events, ['online', 'offline', 'heartbeat'], RETAINED_MS);
  const heard = first === 'online' ? await firstEvent(events, ['offline', 'heartbeat'], HEARTBEAT_MS) : first;
  if (heard === 'heartbeat')
    throw new TesseraError('TESSERA_NODE_DUPLICATE', `a node with the id "${id}" is online${hardware}`, {
      hint: 'Give this one another id with --id (or node.id), or stop the other one first.',
    });
}

function firstEvent(events: EventTarget, names: readonly string[], waitMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), waitMs);
    const done = (event: Event): void => {
      clearTimeout(timer);
      resolve(event.type);
    };
    for (const name of names) events.addEventListener(name, done, { once: true });
  });
}

function hardwareOf(info: string): string {
  try {
    const { hardware } = JSON.parse(info) as { hardware?: unknown };
    return typeof hardware === 'string' ? ` on ${hardware.slice(0, 100)}` : '';
  } catch {
    return '';
  }
}
