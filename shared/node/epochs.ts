import { MAX_EPOCH } from '../protocol/epoch.ts';

/**
 * Which central a node follows: that of one epoch at a time. Times are those of one steady clock, ms.
 *
 *   nobody --first message--> following E --a message of E--> following E
 *   following E --a message of F that counts--> following F;  --any other message of F--> following E, F is ignored
 *
 *   1. A message counts whose epoch a central claims in its status (`<base>/central/<id>/status`, retained, so that only
 *      who may speak as a central can claim), unless the epoch that is followed is claimed too and is higher.
 *   2. Where no central's status can be seen, the higher epoch counts.
 *   3. What is ignored counts in the end: an epoch that goes on speaking for `SILENT_MS`, while the one that is followed
 *      says nothing, is followed. So no single message makes a node deaf, nor does a central whose clock was set back and
 *      whose state was lost. A central that was relieved never speaks for so long: its lease is shorter.
 *   4. An epoch above `MAX_EPOCH` never counts.
 */

/** Times longer than a central's lease and any takeover. */
export const SILENT_MS = 10_000;
/** Centrals whose claims are remembered, and epochs that were ignored since the followed one spoke. */
const KEPT = 64;

/** What a message's epoch means for the node. */
export type EpochVerdict =
  | {
      readonly counts: true;
      /** Another epoch is followed from now on: what was asked for in the one before is nobody's any more. */
      readonly isNew: boolean;
      /** Why the node follows a lower epoch than before. */
      readonly note?: string;
    }
  | { readonly counts: false; readonly why: string };

/** The epoch of a node's central; see above. */
export class Epochs {
  #followed = 0;
  #heardMs = Number.NEGATIVE_INFINITY;
  /** By central, the epoch that it claims. */
  readonly #claims = new Map<string, number>();
  /** Since when epochs have been ignored. */
  readonly #ignored = new Map<number, number>();

  /** The epoch that is followed; 0 before the first message. */
  get followed(): number {
    return this.#followed;
  }

  /** A central has said what it is. */
  claimed(central: string, { state, epoch }: { readonly state: string; readonly epoch: number }): void {
    this.#claims.delete(central);
    if ((state === 'active' || state === 'claiming') && epoch <= MAX_EPOCH) remember(this.#claims, central, epoch);
  }

  /** Central speaks in this epoch. */
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
