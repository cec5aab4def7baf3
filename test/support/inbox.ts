import type { Bus, Message, Unsubscribe } from '../../shared/ports.ts';

/** The messages of a subscription, to be awaited one by one. */
export interface Inbox {
  readonly received: Message[];
  /** The next message that was not taken yet; waits for it. */
  next(): Promise<Message>;
  /** The payload of the next message as text. */
  text(): Promise<string>;
  readonly end: Unsubscribe;
}

/** Subscribes and collects messages. */
export async function inbox(bus: Bus, filter: string, qos: 0 | 1 = 1): Promise<Inbox> {
  const received: Message[] = [];
  const queue: Message[] = [];
  const waiting: ((message: Message) => void)[] = [];
  const end = await bus.subscribe(filter, qos, (message) => {
    const kept = { ...message, payload: Uint8Array.from(message.payload) };
    received.push(kept);
    const taker = waiting.shift();
    if (taker === undefined) queue.push(kept);
    else taker(kept);
  });
  const next = () => {
    const ready = queue.shift();
    return ready === undefined ? new Promise<Message>((resolve) => waiting.push(resolve)) : Promise.resolve(ready);
  };
  return { received, next, text: async () => new TextDecoder().decode((await next()).payload), end };
}
