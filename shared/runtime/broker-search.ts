import { type Announcement, fitting, type Sought } from '../discovery.ts';
import type { Log } from '../ports.ts';
import { searchNetwork } from './mdns.ts';

/**
 * Where a node finds its broker: at the last address that was good, else where the local network announces it.
 *
 *   at the known address --no connection--> searching --one broker fits--> at that one and the known one in turn
 *   --connected--> kept (the address is the known one from now on; nothing is searched)
 *
 * 1. The known address is tried first, and again after every other one.
 * 2. Of several brokers that fit none is chosen: the node would join somebody else's cluster.
 */
export class BrokerSearch {
  readonly #sought: Sought;
  readonly #log: Log;
  readonly #keep: (url: string) => void;
  readonly #found = new Map<string, Announcement>();
  #known: string;
  #current: string;
  #isTried = false;
  #said = '';
  readonly #search: typeof searchNetwork;
  #end: (() => void) | undefined;

  /** `keep` stores the address of a broker that accepted the node. */
  constructor(known: string, sought: Sought, keep: (url: string) => void, log: Log, search = searchNetwork) {
    this.#search = search;
    this.#known = known;
    this.#current = known;
    this.#sought = sought;
    this.#keep = keep;
    this.#log = log;
  }

  /** The address of the last attempt to connect. */
  get url(): string {
    return this.#current;
  }

  /** The address for the next attempt to connect. */
  next(): string {
    if (!this.#isTried) {
      this.#isTried = true;
      return this.#current;
    }
    this.#end ??= this.#search((announcement) => this.#take(announcement), this.#log);
    const others = fitting([...this.#found.values()], this.#sought).filter((url) => url !== this.#known);
    if (others.length > 1) this.#say(`several brokers are announced: ${others.join(', ')}; --broker names one`);
    const other = others.length === 1 ? others[0]! : this.#known;
    this.#current = this.#current === this.#known ? other : this.#known;
    if (this.#current !== this.#known) this.#say(`a broker is announced at ${this.#current}`);
    return this.#current;
  }

  /** The broker at the last address accepted the node. */
  connected(): void {
    this.stop();
    this.#isTried = false;
    if (this.#current === this.#known) return;
    this.#known = this.#current;
    this.#keep(this.#current);
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
    this.#found.clear();
  }

  #take(announcement: Announcement): void {
    // More than a network has, of somebody who means no good.
    if (this.#found.size < 64) this.#found.set(announcement.url, announcement);
  }

  #say(text: string): void {
    if (text !== this.#said) this.#log.info(text);
    this.#said = text;
  }
}
