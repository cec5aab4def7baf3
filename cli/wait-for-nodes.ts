import type { Bus } from '../shared/ports.ts';
import type { Topics } from '../shared/protocol/topics.ts';

/** How waiting is told of. */
export interface Waiting {
  readonly onNode: (node: string) => void;
  /** Called with those that are still missing, each `remindMs`. */
  readonly remind: (missing: readonly string[]) => void;
  readonly remindMs: number;
  readonly signal: AbortSignal;
}

/** Waits until all nodes are online; false where `signal` ended the waiting. */
export async function waitForNodes(
  bus: Bus,
  topics: Topics,
  nodes: readonly string[],
  { onNode, remind, remindMs, signal }: Waiting,
): Promise<boolean> {
  const missing = new Set(nodes);
  const timer = setInterval(() => remind([...missing]), remindMs);
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
      for (const node of nodes)
        bus
          .subscribe(topics.nodeStatus(node), 1, ({ payload }) => {
            if (Buffer.from(payload).toString('utf8') !== 'online' || !missing.delete(node)) return;
            onNode(node);
            if (missing.size === 0) resolve();
          })
          .catch(reject);
    });
  } finally {
    clearInterval(timer);
  }
  return missing.size === 0;
}
