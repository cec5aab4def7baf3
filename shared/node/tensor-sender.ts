import type { TensorMessage } from '../protocol/messages/work.ts';
import { MESSAGE_BYTES, regionBytes } from './result-group.ts';
import type { Delivery } from './work-parts.ts';

/** Sends a message to a node; resolves when the network has it. */
export type SendTensors = (to: string, message: TensorMessage) => Promise<unknown>;

/** The fields of all messages of one group. */
export type TensorAddress = Pick<TensorMessage, 'plan' | 'i_id' | 'stage' | 'attempt'>;

interface Batch {
  readonly tiles: TensorMessage['tiles'];
  bytes: number;
  readonly sent: Promise<unknown>;
  readonly send: () => void;
}

/**
 * Combines what the parts of one work message made for other nodes into few messages: one for each node, while they fit.
 * 1. Every region that was added leaves for each of its nodes exactly once, at the latest with `flush`.
 * 2. A message has at most `limitBytes`, unless it is a single larger region.
 */
export class TensorSender {
  readonly #send: SendTensors;
  readonly #address: TensorAddress;
  readonly #limitBytes: number;
  readonly #batches = new Map<string, Batch>();

  constructor(send: SendTensors, address: TensorAddress, limitBytes: number) {
    this.#send = send;
    this.#address = address;
    this.#limitBytes = limitBytes;
  }

  /** Adds regions of a part; resolves when the network has all of them, after `flush`. Rejects where that failed. */
  async add(tId: number, regions: readonly Delivery[]): Promise<void> {
    const sent = new Set<Promise<unknown>>();
    for (const { region, to } of regions)
      for (const node of new Set(to)) {
        const bytes = regionBytes(region);
        const open = this.#batches.get(node);
        if (open !== undefined && open.bytes + bytes > this.#limitBytes) this.#close(node, open);
        const batch = this.#batches.get(node) ?? this.#open(node);
        const last = batch.tiles.at(-1);
        if (last?.t_id === tId) last.out.push(region);
        else batch.tiles.push({ t_id: tId, out: [region] });
        batch.bytes += bytes;
        sent.add(batch.sent);
      }
    await Promise.all(sent);
  }

  /** Sends what is left. */
  flush(): void {
    for (const [node, batch] of this.#batches) this.#close(node, batch);
  }

  #open(node: string): Batch {
    const tiles: TensorMessage['tiles'] = [];
    let send = (): void => {};
    const sent = new Promise<void>((resolve) => {
      send = resolve;
    }).then(() => this.#send(node, { v: 1, ...this.#address, tiles }));
    const batch = { tiles, bytes: MESSAGE_BYTES, sent, send };
    this.#batches.set(node, batch);
    return batch;
  }

  #close(node: string, batch: Batch): void {
    this.#batches.delete(node);
    batch.send();
  }
}
