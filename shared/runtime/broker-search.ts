import { type Announcement, fitting, type Sought } from '../discovery.ts';
import type { Log } from '../ports.ts';
import { searchNetwork } from './mdns.ts';

/** Attempts after which the network has been asked twice (mdns.ts) and had time to answer. */
const ATTEMPTS = 4;

/**
 * Where a node finds its broker: at the last address that was good, else where the local network announces it.
 *
 *   at the known address --no connection--> searching --a cluster fits--> at its addresses and the known one in turn
 *   --connected--> kept (the address is the known one from now on; nothing is searched)
 *
 * 1. The known address is tried first, and again after every other one. The one that was given is tried as well.
 * 2. Of several clusters that fit none is chosen: the node would join somebody else's.
 * 3. A refusal is final from the known address alone, and after all others were tried: a router may have given the
 *    address to another broker, and anybody can announce one that refuses.
 */
export class BrokerSearch {
  readonly #sought: Sought;
  readonly #log: Log;
  readonly #keep: (url: string) => void;
  readonly #found = new Map<string, Announcement>();
  readonly #given: string;
  #known: string;
  #current: string;
  /** Addresses that were tried since the last connection, and attempts since the search began. */
  readonly #tried = new Set<string>();
  #attempts = 0;
  #turn = 0;
  #said = '';
  readonly #search: typeof searchNetwork;
  #end: (() => void) | undefined;

  /**
   * `given` is the address of token or configuration, `known` the last good one. `keep` stores the address of a broker that
   * accepted the node.
   */
  constructor(
    { given, known }: { readonly given: string; readonly known: string },
    sought: Sought,
    keep: (url: string) => void,
    log: Log,
    search = searchNetwork,
  ) {
    this.#search = search;
    this.#given = given;
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
    if (this.#tried.size > 0) {
      this.#end ??= this.#search((announcement) => this.#take(announcement), this.#log);
      this.#attempts += 1;
      this.#current = this.#current === this.#known ? this.#other() : this.#known;
      if (this.#current !== this.#known) this.#say(`the broker may be at ${this.#current}`);
    }
    this.#tried.add(this.#current);
    return this.#current;
  }

  /** The broker at the last address accepted the node. */
  connected(): void {
    this.stop();
    if (this.#current === this.#known) return;
    this.#known = this.#current;
    this.#keep(this.#current);
  }

  /** Whether a refusal at the last address is the last word (3). */
  isFinal(): boolean {
    if (this.#current !== this.#known || this.#attempts < ATTEMPTS) return false;
    return this.#others().every((url) => this.#tried.has(url));
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
    this.#found.clear();
    this.#tried.clear();
    this.#attempts = 0;
  }

  #other(): string {
    const others = this.#others();
    return others.length === 0 ? this.#known : others[this.#turn++ % others.length]!;
  }

  /** The addresses other than the known one at which the broker may be. */
  #others(): string[] {
    const clusters = fitting([...this.#found.values()], this.#sought);
    if (clusters.length > 1)
      this.#say(`brokers of several clusters are announced: ${clusters.flat().join(', ')}; --broker names one`);
    const announced = clusters.length === 1 ? clusters[0]! : [];
    return [...new Set([this.#given, ...announced])].filter((url) => url !== this.#known);
  }

  #take(announcement: Announcement): void {
    if (announcement.isOver) this.#found.delete(announcement.url);
    // More than a network has, of somebody who means no good.
    else if (this.#found.size < 64) this.#found.set(announcement.url, announcement);
  }

  #say(text: string): void {
    if (text !== this.#said) this.#log.info(text);
    this.#said = text;
  }
}
