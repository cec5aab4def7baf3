import { MAX_EPOCH } from '../../shared/protocol/epoch.ts';
import type { CentralStatus } from '../../shared/protocol/messages/central.ts';
import type { ElectionEffect, ElectionEvent } from './election-events.ts';
import { ELECTION_TIMES, type ElectionOptions, type ElectionTimes } from './election-options.ts';

/**
 * Leader election among the centrals of one base topic: a deterministic state machine without I/O. Centrals communicate
 * through the broker only. Each announces its status twice a second and receives its own announcements back (echoes).
 *
 *   listening --own echo, no other central--> claiming --no objection--> active --a higher claim--> ended
 *   listening --another central--> standby --that one has left or is silent--> claiming
 *   claiming --a higher claim--> standby;  any --resign--> ended;  without `standby`: standby --an active central--> ended
 *
 * A claim carries an epoch (the term) above every epoch that its maker has heard of. The claim with the higher epoch wins;
 * at equal epochs, the id (then the boot id) that sorts first. The loser yields as soon as it hears of the other claim.
 *
 * The lease: an active central acts only while the newest echo is of an announcement that it sent less than `leaseMs` ago
 * on this connection. A claimer waits `claimMs` > `leaseMs` after the echo of its claim.
 *
 * Invariants, checked against random delays, crashes, freezes and broker restarts (test/central/leadership/model.test.ts),
 * provided that a broker delivers to each client in the order in which it routes:
 *
 *   1. At no time do two centrals hold a valid lease. Let A be active and B claim. The echo of what A sends after the broker
 *      has routed B's claim reaches A behind that claim, and A has yielded by then. What A sent before renews its lease for
 *      less than `leaseMs` from the routing of the claim, and B waits longer.
 *      An active central that reconnects waits `leaseMs`, where there are other centrals, and in any case for two echoes:
 *      by then the retained announcements of others have arrived.
 *   2. A claimer skips the wait only if every other central that it ever heard of has resigned, and only `leaseMs` after
 *      it connected. Before that the broker may have restarted and lost the status of an active central whose network
 *      hides the restart; that central's lease has run out by then. Of two such claims the broker routes one first; the
 *      other claimer hears it before its own echo, and waits.
 *   3. Epochs of active centrals never fall, as long as clocks agree or one party remembers, and none is above `MAX_EPOCH`.
 *   4. A process that stood still (missed ticks) starts again: it counts silence and claims anew; its lease has run out.
 */

interface Peer {
  readonly status: CentralStatus;
  /** Until when the central counts as alive. */
  until: number;
  /** An announcement of it arrived that was not a retained one. */
  readonly live: boolean;
}

type Phase = 'listening' | 'standby' | 'claiming' | 'active' | 'ended';

/** Other centrals that are remembered, and own announcements whose echo may still come. */
const PEERS_KEPT = 64;
const SENT_KEPT = 64;
/** Some brokers send retained messages a little after they grant a subscription; they are there after two echoes. */
const ECHOES = 2;

const contends = ({ state }: CentralStatus): boolean => state === 'claiming' || state === 'active';

/** Whether the claim `a` wins over `b`: the higher epoch, then the id and the boot id that sort first. */
export function isAbove(a: CentralStatus, b: CentralStatus): boolean {
  if (a.epoch !== b.epoch) return a.epoch > b.epoch;
  return a.id === b.id ? a.boot_id < b.boot_id : a.id < b.id;
}

/** One central's view of the election. */
export class Election {
  readonly #options: ElectionOptions;
  readonly #times: ElectionTimes;
  readonly #peers = new Map<string, Peer>();
  /** Own announcements without an echo yet on this connection: number to time of sending. */
  readonly #sent = new Map<number, number>();
  #effects: ElectionEffect[] = [];
  #phase: Phase = 'listening';
  #connected = false;
  #epoch = 0;
  #highest = 0;
  #seq = 0;
  #beatAt = Number.NEGATIVE_INFINITY;
  #tickAt = Number.NEGATIVE_INFINITY;
  /** Whether this central was active before this connection. */
  #reconnected = false;
  #connectedAt = Number.NEGATIVE_INFINITY;
  /** When the announcement of the newest echo was sent. */
  #echoedFrom = Number.NEGATIVE_INFINITY;
  /** When the echo of the own claim came; undefined until then. */
  #claimedAt: number | undefined;
  /** Whether all other centrals have resigned. */
  #mayHurry = false;
  /** Echoes in this phase and on this connection. */
  #echoes = 0;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#times = options.times ?? ELECTION_TIMES;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Epoch of the last own claim; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether this central may act as the active one at the time `at`. */
  holds(at: number): boolean {
    // Another central may have claimed while this one was disconnected, and its claim may not have arrived yet.
    const mayHaveMissed = this.#peers.size > 0 && at - this.#connectedAt < this.#times.leaseMs;
    const mayMissYet = this.#reconnected && (mayHaveMissed || this.#echoes < ECHOES);
    return this.#phase === 'active' && this.#isFresh(at) && !mayMissYet;
  }

  /** Handles one event; returns its effects. */
  handle(event: ElectionEvent): ElectionEffect[] {
    this.#effects = [];
    if (this.#phase !== 'ended') this.#apply(event);
    return this.#effects;
  }

  #apply(event: ElectionEvent): void {
    const { at } = event;
    switch (event.type) {
      case 'connected':
        this.#connected = true;
        this.#connectedAt = event.since;
        this.#tickAt = at;
        this.#echoes = 0;
        this.#countSilenceAnew(at);
        if (this.#phase !== 'active') this.#enter('listening', at);
        else {
          this.#reconnected = true;
          this.#announce(at, true);
        }
        break;
      case 'disconnected':
        this.#connected = false;
        this.#sent.clear();
        this.#echoedFrom = Number.NEGATIVE_INFINITY;
        if (this.#phase !== 'active') this.#phase = 'listening';
        break;
      case 'heard':
        if (event.from.boot_id === this.#options.boot) {
          if (!event.retained) this.#onEcho(event.from, at);
        } else this.#onPeer(event.from, event.retained, at);
        break;
      case 'tick':
        this.#onTick(at);
        break;
      case 'resign':
        this.#phase = 'ended';
        if (this.#connected) this.#announce(at, true);
    }
  }

  #onTick(at: number): void {
    if (at - this.#tickAt > 2 * this.#times.beatMs) {
      this.#countSilenceAnew(at);
      this.#claimedAt = undefined;
      this.#mayHurry = false;
    }
    this.#tickAt = at;
    if (!this.#connected) return;
    if (at - this.#beatAt >= this.#times.beatMs) this.#announce(at, false);
    if (this.#phase === 'standby') this.#claimIfFree(at);
    else if (this.#phase === 'claiming') this.#leadIfDue(at);
  }

  #onEcho({ seq, state, epoch }: CentralStatus, at: number): void {
    const sentAt = this.#sent.get(seq);
    if (sentAt === undefined) return;
    for (const [earlier] of this.#sent) if (earlier <= seq) this.#sent.delete(earlier);
    this.#echoedFrom = Math.max(this.#echoedFrom, sentAt);
    this.#echoes++;
    if (this.#echoes < ECHOES && (this.#phase === 'listening' || (this.#phase === 'active' && this.#reconnected))) {
      this.#announce(at, false);
    } else if (this.#phase === 'listening') {
      this.#enter('standby', at);
      this.#refuseIfTaken();
      this.#claimIfFree(at);
    } else if (this.#phase === 'claiming' && state === 'claiming' && epoch === this.#epoch) {
      this.#claimedAt ??= at;
      this.#leadIfDue(at);
    }
  }

  #onPeer(status: CentralStatus, retained: boolean, at: number): void {
    const known = this.#peers.get(status.boot_id);
    this.#highest = Math.max(this.#highest, status.epoch);
    // A retained announcement may be older than a heard one; a last will has no number.
    if (known !== undefined && status.seq < known.status.seq && status.state !== 'lost') return;
    const live = !retained || known?.live === true;
    const { silenceMs, lostMs } = this.#times;
    let until = at + (contends(status) ? silenceMs : 0);
    if (status.state === 'lost' && known !== undefined && known.until > at) until = at + lostMs;
    this.#peers.delete(status.boot_id);
    this.#peers.set(status.boot_id, { status, until, live });
    if (this.#peers.size > PEERS_KEPT) this.#peers.delete(this.#peers.keys().next().value!);
    if (this.#phase === 'standby') {
      this.#refuseIfTaken();
      this.#claimIfFree(at);
      return;
    }
    if (!contends(status) || (this.#phase !== 'claiming' && this.#phase !== 'active')) return;
    this.#mayHurry = false;
    if (!isAbove(status, this.#status())) {
      // The other central hears the higher claim and yields.
      if (this.#phase === 'active' && at - this.#beatAt >= this.#times.beatMs / 5) this.#announce(at, false);
    } else if (this.#phase === 'active') {
      this.#phase = 'ended';
      this.#announce(at, true);
      this.#effects.push({ type: 'step-down', by: status });
    } else {
      this.#enter('standby', at);
      this.#refuseIfTaken();
    }
  }

  /** Without `standby`, another central that is active ends the election. */
  #refuseIfTaken(): void {
    if (this.#options.standby || this.#phase !== 'standby') return;
    const taken = [...this.#peers.values()].find(({ status, live }) => live && status.state === 'active');
    if (taken === undefined) return;
    this.#phase = 'ended';
    this.#effects.push({ type: 'refused', by: taken.status });
  }

  #claimIfFree(at: number): void {
    if (this.#phase !== 'standby') return;
    const peers = [...this.#peers.values()];
    if (peers.some(({ until }) => at < until)) return;
    this.#mayHurry = peers.every(({ status: { state } }) => state === 'standby' || state === 'ended');
    const { floor, clockOffsetMs } = this.#options;
    const clock = Math.floor((clockOffsetMs + at) / 1000);
    // At MAX_EPOCH no higher epoch is left; nodes then follow the central that they hear (shared/node/epochs.ts).
    this.#epoch = Math.max(...[0, floor, clock, this.#epoch + 1, this.#highest + 1].filter((one) => one <= MAX_EPOCH));
    this.#claimedAt = undefined;
    this.#enter('claiming', at);
  }

  #leadIfDue(at: number): void {
    if (this.#claimedAt === undefined || !this.#isFresh(at)) return;
    const { claimMs, leaseMs } = this.#times;
    const hurries = this.#mayHurry && (this.#options.isFirst === true || at - this.#connectedAt >= leaseMs);
    if (!hurries && at - this.#claimedAt < claimMs) return;
    this.#enter('active', at);
    this.#effects.push({ type: 'lead', epoch: this.#epoch });
  }

  /** Silence counts only from the time at which this central listens. */
  #countSilenceAnew(at: number): void {
    for (const peer of this.#peers.values()) if (contends(peer.status)) peer.until = at + this.#times.silenceMs;
  }

  #isFresh(at: number): boolean {
    return this.#connected && at - this.#echoedFrom < this.#times.leaseMs;
  }

  #enter(phase: Phase, at: number): void {
    this.#phase = phase;
    this.#echoes = 0;
    this.#announce(at, phase !== 'listening');
  }

  #status(): CentralStatus {
    const { id, boot } = this.#options;
    const state = this.#phase === 'listening' ? 'standby' : this.#phase;
    return { v: 1, id, boot_id: boot, state, epoch: this.#epoch, seq: this.#seq };
  }

  /** Announces the status; `retained` first as a retained message, for centrals that connect later. */
  #announce(at: number, retained: boolean): void {
    if (retained) this.#effects.push({ type: 'announce', status: this.#status(), retained: true });
    this.#seq++;
    this.#beatAt = at;
    this.#sent.set(this.#seq, at);
    if (this.#sent.size > SENT_KEPT) this.#sent.delete(this.#sent.keys().next().value!);
    this.#effects.push({ type: 'announce', status: this.#status(), retained: false });
  }
}
