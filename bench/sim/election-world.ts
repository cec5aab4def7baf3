import { Election } from '../../central/leadership/election.ts';
import type { ElectionEffect } from '../../central/leadership/election-events.ts';
import type { CentralStatus } from '../../shared/protocol/messages/central.ts';
import { Random } from './random.ts';

/** A message on its way to the broker or to a client of it. */
interface Travelling {
  readonly at: number;
  readonly deliver: () => void;
}

/** One direction of a connection: what enters first leaves first, however long it takes. */
class Link {
  readonly queue: Travelling[] = [];
  #last = 0;

  send(at: number, deliver: () => void): void {
    this.#last = Math.max(this.#last, at);
    this.queue.push({ at: this.#last, deliver });
  }
}

interface Connection {
  readonly up: Link;
  readonly down: Link;
  open: boolean;
  /** What the broker has retained for it and not sent yet: some do so a little after the subscription stands. */
  readonly retained: CentralStatus[];
}

/** A central's process with its view of the election. */
export interface Candidate {
  readonly id: string;
  boot: string;
  election: Election;
  connection: Connection | undefined;
  /** `frozen`: as by SIGSTOP, nothing happens in it; `dead`: killed. */
  state: 'up' | 'frozen' | 'dead';
  /** The highest epoch on its disk. */
  kept: number;
  nextTick: number;
  reconnectAt: number;
  slowUntil: number;
}

/**
 * Centrals around a broker on a virtual clock: messages take random times in order, processes are killed, frozen and
 * started, connections break on one side first, the broker is restarted with or without what it retained. After
 * every step `check` sees who holds a valid lease.
 */
export class ElectionWorld {
  now = 0;
  readonly seed: number;
  readonly candidates: Candidate[] = [];
  /** `id epoch` of every active central, in order. */
  readonly led: { readonly boot: string; readonly epoch: number; readonly at: number }[] = [];
  /** Ids of the centrals that ended because they were started without `standby`. */
  readonly refused: string[] = [];
  readonly #random: Random;
  readonly #standby: boolean;
  readonly #isFirst: boolean;
  readonly #retained = new Map<string, CentralStatus>();
  readonly #connections = new Map<Connection, Candidate>();
  #wills: { at: number; id: string; will: CentralStatus }[] = [];
  #brokerDown = 0;
  #boots = 0;

  /** `isFirst`: the first of them has started the broker. */
  constructor(seed: number, ids: readonly string[], { standby = true, isFirst = false } = {}) {
    this.seed = seed;
    this.#random = new Random(seed);
    this.#standby = standby;
    this.#isFirst = isFirst;
    for (const id of ids) {
      const candidate = { id, state: 'dead', kept: 0 } as unknown as Candidate;
      this.candidates.push(candidate);
    }
  }

  get holders(): Candidate[] {
    return this.candidates.filter(({ state, election }) => state === 'up' && election.holds(this.now));
  }

  start(candidate: Candidate): void {
    if (candidate.state !== 'dead') return;
    candidate.boot = `boot-${this.#boots++}`;
    candidate.state = 'up';
    const { id, boot, kept } = candidate;
    const isFirst = this.#isFirst && candidate === this.candidates[0];
    candidate.election = new Election({ id, boot, floor: kept + 1, clockOffsetMs: 0, standby: this.#standby, isFirst });
    candidate.connection = undefined;
    candidate.nextTick = this.now;
    candidate.reconnectAt = this.now + this.#random.between(0, 50);
    candidate.slowUntil = 0;
  }

  kill(candidate: Candidate): void {
    if (candidate.state === 'dead') return;
    candidate.state = 'dead';
    // After a loss of power the connection is not closed; the broker notices by its keep-alive.
    this.#drop(candidate, this.#random.chance(0.7) ? 0 : this.#random.between(0, 15_000));
  }

  freeze(candidate: Candidate): void {
    if (candidate.state === 'up') candidate.state = 'frozen';
  }

  thaw(candidate: Candidate): void {
    if (candidate.state === 'frozen') candidate.state = 'up';
  }

  /** Cuts the connection; the client notices now, the broker at once or much later, or the other way round. */
  cut(candidate: Candidate): void {
    const { connection } = candidate;
    if (connection === undefined) return;
    if (this.#random.chance(0.5)) {
      this.#drop(candidate, this.#random.chance(0.5) ? 0 : this.#random.between(0, 15_000));
      if (candidate.state === 'up') this.#lose(candidate);
    } else {
      this.#drop(candidate, 0, this.#random.between(0, 10_000));
    }
  }

  stall(candidate: Candidate, ms: number): void {
    candidate.slowUntil = this.now + ms;
  }

  /** The network may hide the end of their connections from some for up to `hiddenMs`. */
  restartBroker(downMs: number, forgets: boolean, hiddenMs = 0): void {
    this.#brokerDown = this.now + downMs;
    if (forgets) this.#retained.clear();
    this.#wills = [];
    this.#connections.clear();
    for (const candidate of this.candidates) {
      const { connection } = candidate;
      if (connection === undefined) continue;
      connection.open = false;
      // Its machine lives on and resets what comes on old connections.
      connection.up.queue.length = 0;
      connection.down.queue.length = 0;
      const hidden = hiddenMs > 0 && this.#random.chance(0.5) ? this.#random.between(0, hiddenMs) : 0;
      connection.down.queue.push({ at: this.now + hidden, deliver: () => this.#lose(candidate) });
    }
  }

  resign(candidate: Candidate): void {
    if (candidate.state !== 'up') return;
    this.#carryOut(candidate, candidate.election.handle({ type: 'resign', at: this.now }));
  }

  /** Lets `ms` pass; `check` is called after every step. */
  run(ms: number, check: () => void): void {
    const end = this.now + ms;
    for (; this.now < end; this.now++) {
      for (const candidate of this.candidates) this.#step(candidate);
      this.#wills = this.#wills.filter(({ at, id, will }) => {
        if (at > this.now) return true;
        this.#route(id, will, true);
        return false;
      });
      check();
    }
  }

  #step(candidate: Candidate): void {
    const { connection } = candidate;
    if (connection !== undefined) this.#flow(connection.up);
    if (candidate.state !== 'up') return;
    // Timers come before sockets in an event loop, so a thawed process ticks first.
    if (this.now >= candidate.nextTick) {
      candidate.nextTick = this.now + 100;
      this.#carryOut(candidate, candidate.election.handle({ type: 'tick', at: this.now }));
    }
    if (connection !== undefined) this.#flow(connection.down);
    if (candidate.connection === undefined && this.now >= candidate.reconnectAt && this.now >= this.#brokerDown)
      this.#connect(candidate);
  }

  #flow(link: Link): void {
    while (link.queue.length > 0 && link.queue[0]!.at <= this.now) link.queue.shift()!.deliver();
  }

  #delay(candidate: Candidate): number {
    return this.#random.between(0, 20) + Math.max(0, candidate.slowUntil - this.now);
  }

  #connect(candidate: Candidate): void {
    const connection: Connection = { up: new Link(), down: new Link(), open: true, retained: [] };
    candidate.connection = connection;
    // The subscription is routed after a while, with what is retained behind it; then the client is told.
    connection.up.send(this.now + this.#delay(candidate), () => {
      if (!connection.open) return;
      this.#connections.set(connection, candidate);
      const at = this.now + this.#delay(candidate);
      connection.retained.push(...this.#retained.values());
      if (this.#random.chance(0.5)) this.#sendRetained(candidate, connection);
      connection.down.send(at, () => {
        if (candidate.connection === connection)
          this.#carryOut(candidate, candidate.election.handle({ type: 'connected', at: this.now, since: this.now }));
      });
    });
  }

  #sendRetained(candidate: Candidate, connection: Connection): void {
    for (const status of connection.retained.splice(0))
      connection.down.send(this.now + this.#delay(candidate), () => this.#hear(candidate, connection, status, true));
  }

  #hear(candidate: Candidate, connection: Connection, from: CentralStatus, retained: boolean): void {
    if (candidate.connection !== connection) return;
    this.#carryOut(candidate, candidate.election.handle({ type: 'heard', at: this.now, from, retained }));
  }

  /** The client's side of the end of a connection. */
  #lose(candidate: Candidate): void {
    candidate.connection = undefined;
    candidate.reconnectAt = this.now + this.#random.between(100, 2_000);
    this.#carryOut(candidate, candidate.election.handle({ type: 'disconnected', at: this.now }));
  }

  /** The broker's side; the client is told after `toldMs`. */
  #drop(candidate: Candidate, noticedMs: number, toldMs?: number): void {
    const { connection } = candidate;
    if (connection === undefined) return;
    const will: CentralStatus = {
      v: 1,
      id: candidate.id,
      boot_id: candidate.boot,
      state: 'lost',
      epoch: 0,
      seq: 0,
    };
    if (connection.open) this.#wills.push({ at: this.now + noticedMs, id: candidate.id, will });
    connection.open = false;
    this.#connections.delete(connection);
    if (toldMs === undefined) return;
    connection.down.send(this.now + toldMs, () => {
      if (candidate.connection === connection) this.#lose(candidate);
    });
  }

  #route(id: string, status: CentralStatus, retain: boolean): void {
    if (this.now < this.#brokerDown) return;
    if (retain) this.#retained.set(id, status);
    for (const [connection, candidate] of this.#connections)
      connection.down.send(this.now + this.#delay(candidate), () => this.#hear(candidate, connection, status, false));
  }

  #carryOut(candidate: Candidate, effects: readonly ElectionEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'announce') {
        if (effect.status.state === 'claiming') candidate.kept = Math.max(candidate.kept, effect.status.epoch);
        const { connection } = candidate;
        if (connection === undefined) continue;
        const { status, retained } = effect;
        connection.up.send(this.now + this.#delay(candidate), () => {
          if (!connection.open) return;
          this.#route(candidate.id, status, retained);
          if (!retained) this.#sendRetained(candidate, connection);
        });
      } else if (effect.type === 'lead') {
        this.led.push({ boot: candidate.boot, epoch: effect.epoch, at: this.now });
      } else if (effect.type === 'refused') this.refused.push(candidate.id);
    }
  }
}
