import type { PartMessage } from './messages/part.ts';

/**
 * A body over 256 KiB is sent as parts `{v, m, part: [k, n], d}`, because brokers close the connection above 1-2 MB and
 * one large packet delays every small one behind it.
 *
 * States of a body at the receiver, by sender and message id:
 * absent -> open (first part) -> done (last missing part; handed over, forgotten)
 *   | dropped (expired, evicted or contradicted; forgotten).
 *
 * 1. A body is handed over only when every part from 0 to n-1 has arrived, in any order, and exactly as sent.
 * 2. Bytes kept never exceed `perSenderBytes` for a sender nor `totalBytes` in all, whatever counts are announced.
 * 3. One sender's parts never displace another sender's.
 * 4. No part is kept for longer than about `expiryMs` after the body's last new part.
 * 5. A part costs the same time however many bodies are open.
 */

/** Larger bodies are sent as parts, and no part's `d` with its envelope is larger, bytes. */
export const PART_LIMIT_BYTES = 256 * 1024;

/** Room for the envelope of `d` in a part. */
const ENVELOPE_BYTES = 128;

/** Overhead of a kept part and of an open body, so that a flood of empty ones meets the cap too. */
const OVERHEAD_BYTES = 128;
const BODY_OVERHEAD_BYTES = 1024;

/**
 * Shortest time between two scans for expired bodies, since a scan visits all of them and parts arrive by thousands.
 */
const LOOK_MS = 250;

/** Cuts a body into parts of one message id; their `d` alias the body. A body within `limit` is one part. */
export function splitBody(body: Uint8Array, id: string, limit: number = PART_LIMIT_BYTES): PartMessage[] {
  const size = Math.max(1, limit - ENVELOPE_BYTES);
  const count = Math.max(1, Math.ceil(body.byteLength / size));
  return Array.from({ length: count }, (_, k) => ({
    v: 1,
    m: id,
    part: [k, count],
    d: body.subarray(k * size, Math.min(body.byteLength, (k + 1) * size)),
  }));
}

/** Limits of a `Reassembler`. */
export interface ReassemblyLimits {
  readonly perSenderBytes: number;
  readonly totalBytes: number;
  readonly expiryMs: number;
}

/** Limits that fit full-size feature maps (VGG-16's first is 12.8 MB) and a board with 1 GB of memory. */
export const REASSEMBLY_LIMITS: ReassemblyLimits = {
  perSenderBytes: 64 * 2 ** 20,
  totalBytes: 192 * 2 ** 20,
  expiryMs: 30_000,
};

/**
 * Outcome of a part: the whole body with the cost of its earlier parts, waiting for more parts, or a refusal with its
 * reason.
 */
export type PartOutcome =
  | { readonly kind: 'complete'; readonly body: Uint8Array; readonly spentMs: number }
  | { readonly kind: 'pending' }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'refused'; readonly reason: string };

interface OpenBody {
  readonly count: number;
  readonly parts: Map<number, Uint8Array>;
  /** Sum of the parts' bytes. */
  size: number;
  /** Bytes that count against the caps: `size` and the overhead of each part. */
  cost: number;
  /** Time of the last new part. */
  touchedMs: number;
  /** Processing time of its parts as reported by the receiver, ms. */
  spentMs: number;
}

/** Reassembles bodies; see the invariants above. Times are passed in, milliseconds of any steady clock. */
export class Reassembler {
  /** Number of bodies that never became complete. */
  expired = 0;
  readonly #limits: ReassemblyLimits;
  /** Per sender, open bodies by message id in the order in which they were begun. */
  readonly #senders = new Map<string, { cost: number; open: Map<string, OpenBody> }>();
  #cost = 0;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(limits: ReassemblyLimits = REASSEMBLY_LIMITS) {
    this.#limits = limits;
  }

  /** Bytes kept at present, with the overhead of each part. */
  get bytes(): number {
    return this.#cost;
  }

  /** Accepts a part from `sender`. Its `d` is copied where it would keep a much larger buffer alive. */
  accept(sender: string, part: PartMessage, nowMs: number): PartOutcome {
    if (nowMs - this.#lookedMs >= LOOK_MS) this.expire(nowMs);
    const [index, count] = part.part;
    if (count < 1 || index >= count) return { kind: 'refused', reason: `part ${index} of ${count}` };
    const { perSenderBytes, totalBytes } = this.#limits;
    if (count * OVERHEAD_BYTES > perSenderBytes) return { kind: 'refused', reason: `${count} parts` };
    const known = this.#senders.get(sender)?.open.get(part.m);
    const cost = part.d.byteLength + OVERHEAD_BYTES + (known === undefined ? BODY_OVERHEAD_BYTES : 0);
    if (known !== undefined && known.count !== count) {
      this.#drop(sender, part.m);
      return { kind: 'refused', reason: `${known.count} parts were announced first, then ${count}` };
    }
    if (known?.parts.has(index)) return { kind: 'duplicate' };
    if ((known?.cost ?? 0) + cost > perSenderBytes) {
      this.#drop(sender, part.m);
      return { kind: 'refused', reason: `body over ${perSenderBytes} bytes` };
    }
    this.#makeRoom(sender, part.m, cost);
    if (this.#cost + cost > totalBytes) return { kind: 'refused', reason: `over ${totalBytes} bytes under way` };

    const mine = this.#sender(sender);
    const body = known ?? { count, parts: new Map(), size: 0, cost: 0, touchedMs: nowMs, spentMs: 0 };
    mine.open.set(part.m, body);
    body.parts.set(index, part.d.buffer.byteLength > 2 * part.d.byteLength ? part.d.slice() : part.d);
    body.size += part.d.byteLength;
    body.cost += cost;
    body.touchedMs = nowMs;
    mine.cost += cost;
    this.#cost += cost;
    if (body.parts.size < count) return { kind: 'pending' };
    this.#drop(sender, part.m);
    return { kind: 'complete', body: joined(body), spentMs: body.spentMs };
  }

  /** Records that a part of an incomplete body has cost `ms`. */
  spend(sender: string, id: string, ms: number): void {
    const body = this.#senders.get(sender)?.open.get(id);
    if (body !== undefined) body.spentMs += ms;
  }

  /** Drops bodies without a new part for longer than `expiryMs`. */
  expire(nowMs: number): void {
    this.#lookedMs = nowMs;
    for (const [sender, { open }] of this.#senders) {
      for (const [id, body] of open) {
        if (nowMs - body.touchedMs <= this.#limits.expiryMs) continue;
        this.expired += 1;
        this.#drop(sender, id);
      }
    }
  }

  /** Drops this sender's oldest bodies until `cost` more fits its cap; with QoS 0 they have most likely lost a part. */
  #makeRoom(sender: string, keep: string, cost: number): void {
    const mine = this.#senders.get(sender);
    for (const id of mine?.open.keys() ?? []) {
      if (mine === undefined || mine.cost + cost <= this.#limits.perSenderBytes) return;
      if (id === keep) continue;
      this.expired += 1;
      this.#drop(sender, id);
    }
  }

  #sender(sender: string) {
    const mine = this.#senders.get(sender) ?? { cost: 0, open: new Map<string, OpenBody>() };
    this.#senders.set(sender, mine);
    return mine;
  }

  #drop(sender: string, id: string): void {
    const mine = this.#senders.get(sender);
    const body = mine?.open.get(id);
    if (mine === undefined || body === undefined) return;
    mine.open.delete(id);
    mine.cost -= body.cost;
    this.#cost -= body.cost;
    if (mine.open.size === 0) this.#senders.delete(sender);
  }
}

function joined(body: OpenBody): Uint8Array {
  const whole = new Uint8Array(body.size);
  let at = 0;
  for (let k = 0; k < body.count; k++) {
    const part = body.parts.get(k)!;
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
