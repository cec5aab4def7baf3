import { MAX_EPOCH } from '../protocol/epoch.ts';

/**
 * Which central a node follows: that of one epoch at a time. Times are read from one steady clock, ms.
 *
 *   no central --first message--> following E --a message of E--> following E
 *   following E --a message of F that counts--> following F;  --any other message of F--> following E, F is ignored
 *
 * 1. A message counts if a central claims its epoch in its status (`<base>/central/<id>/status`, retained; only clients
 *    that may speak as a central may publish it), unless the followed epoch is claimed too and is higher.
 * 2. If no central's status is visible, the higher epoch counts.
 * 3. An ignored epoch counts in the end: a node follows an epoch that has sent messages for `SILENT_MS` while the
 *    followed one sent none. So no single message makes a node ignore its central, nor does a central whose clock was
 *    set back and whose state was lost. A central that has lost the election does not send messages for so long: its
 *    lease is shorter.
 * 4. An epoch above `MAX_EPOCH` never counts.
 */

/** Longer than a central's lease and any takeover. */
export const SILENT_MS = 10_000;
/**
 * How many centrals' claims are remembered, and how many epochs that were ignored since the last message of the
 * followed one.
 */
const KEPT = 64;

/** What a message's epoch means for the node. */
export type EpochVerdict =
  | {
      readonly counts: true;
      /** The node follows another epoch from now on: requests of the earlier one are void. */
      readonly isNew: boolean;
      /** Why the node follows a lower epoch than before. */
      readonly note?: string;
    }
  | { readonly counts: false; readonly why: string };

/** The epoch of a node's central; see above. */
export class Epochs {
  #followed = 0;
  #heardMs = Number.NEGATIVE_INFINITY;
  /** The epoch that each central claims. */
  readonly #claims = new Map<string, number>();
  /** Since when each epoch has been ignored. */
  readonly #ignored = new Map<number, number>();

  /** The epoch that is followed; 0 before the first message. */
  get followed(): number {
    return this.#followed;
  }

  /** A central published its status. */
  claimed(central: string, { state, epoch }: { readonly state: string; readonly epoch: number }): void {
    this.#claims.delete(central);
    if ((state === 'active' || state === 'claiming') && epoch <= MAX_EPOCH) remember(this.#claims, central, epoch);
  }

  /** A message of this epoch arrived. */
  enter(epoch: number, nowMs: number): EpochVerdict {
    if (epoch === this.#followed) return this.#follow(epoch, nowMs);
    if (epoch > MAX_EPOCH) return { counts: false, why: `epoch ${epoch} is above what any central claims` };
    const claims = new Set(this.#claims.values());
    const isRival = epoch < this.#followed && (claims.has(this.#followed) || !claims.has(epoch));
    const isUnclaimed = epoch > this.#followed && claims.size > 0 && !claims.has(epoch);
    if (!isRival && !isUnclaimed) return this.#follow(epoch, nowMs);
    const since = this.#ignored.get(epoch);
    if (since === undefined) remember(this.#ignored, epoch, nowMs);
    else if (nowMs - since >= SILENT_MS && nowMs - this.#heardMs >= SILENT_MS) return this.#follow(epoch, nowMs);
    const why = isRival
      ? `epoch ${epoch} is over, the highest seen is ${this.#followed}`
      : `epoch ${epoch} is claimed by no central`;
    return { counts: false, why };
  }

  #follow(epoch: number, nowMs: number): EpochVerdict {
    const before = this.#followed;
    this.#followed = epoch;
    this.#heardMs = nowMs;
    this.#ignored.clear();
    if (epoch === before) return { counts: true, isNew: false };
    if (epoch > before) return { counts: true, isNew: true };
    return { counts: true, isNew: true, note: `central speaks in epoch ${epoch}, of epoch ${before} nothing is heard` };
  }
}

function remember<K>(map: Map<K, number>, key: K, value: number): void {
  map.set(key, value);
  if (map.size > KEPT) map.delete(map.keys().next().value!);
}
