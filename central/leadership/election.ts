import { MAX_EPOCH } from '../../shared/protocol/epoch.ts';
import type { CentralStatus } from '../../shared/protocol/messages/central.ts';

/**
 * Which of several centrals on one base is at work: a deterministic state machine, told of time and of what the others
 * say. Centrals speak through the broker only; each announces itself twice a second and hears its own words come back.
 *
 *   listening --heard itself, nobody else is there--> claiming --nobody objects--> active --hears a higher claim--> ended
 *   listening --somebody else is there--> standby --it has left or fallen silent--> claiming
 *   claiming --hears a higher claim--> standby;  any --resign--> ended;  without `standby`: standby --it lives--> ended
 *
 * A claim carries an epoch above every one that its maker has heard of. Of two claims the higher epoch wins, of equal
 * epochs the id (then the boot id) that sorts first. The lower one yields the moment it hears of the higher.
 *
 * The lease: an active central acts only while the last announcement of its own that came back was sent less than
 * `leaseMs` ago on this connection. A claimer waits `claimMs` > `leaseMs` after its own claim came back.
 *
 * Invariants, checked against random delays, crashes, freezes and broker restarts (test/central/leadership/model.test.ts),
 * provided that a broker hands each client what it routes in one order:
 *
 *   1. At no time do two centrals hold a valid lease. For let A be active and B claim. What A sends after B's claim was
 *      routed comes back to A behind that claim, and A has yielded by then; what it sent before carries it for less than
 *      `leaseMs` from the routing of the claim, and B waits longer than that.
 *      An active central whose connection was lost waits as long on the next one, where there are others, and in any
 *      case until it has heard itself twice: what the broker retained of others is there by then.
 *   2. The wait is left out only where every other central that was ever heard of said goodbye, and only after
 *      `leaseMs` on this connection. Until then the broker may be one that was restarted, has forgotten an active
 *      central, and whose end the network still hides from that one; its lease has run out by then. Of two such claims
 *      one is routed first, its maker is heard by the other before the other hears itself, and the other waits.
 *   3. Epochs of active centrals never fall, as long as clocks agree or somebody remembers, and none is above `MAX_EPOCH`.
 *   4. A process that stood still (ticks missed) knows nothing: silence is counted anew, claims begin anew, leases have
 *      run out by themselves.
 */

/** Times of an election, milliseconds. */
export interface ElectionTimes {
  readonly beatMs: number;
  readonly leaseMs: number;
  /** An active central not heard for so long has fallen silent. */
  readonly silenceMs: number;
  /** One whose connection was lost may come back within so long. */
  readonly lostMs: number;
  readonly claimMs: number;
}

/** Takes over about 4.5 s after a lost connection, about 6.5 s after a standstill. */
export const ELECTION_TIMES: ElectionTimes = {
  beatMs: 500,
  leaseMs: 2500,
  silenceMs: 3000,
  lostMs: 1500,
  claimMs: 3000,
};

/** Who takes part. */
export interface ElectionOptions {
  readonly id: string;
  /** Names this run of the process. */
  readonly boot: string;
  /** The least epoch to claim: above that of every earlier run of this process. */
  readonly floor: number;
  /** Unix time in ms at the time 0 of the events: epochs follow the clock where all memory of them was lost. */
  readonly clockOffsetMs: number;
  /** Waits while another is active; without it that is the end. */
  readonly standby: boolean;
  /** Nobody else can have been active at this broker, as this process has just started it: the first claim holds at once. */
  readonly isFirst?: boolean | undefined;
  readonly times?: ElectionTimes;
}

/** What the election is told; `at` is the time in ms of one steady clock. */
export type ElectionEvent = { readonly at: number } & (
  | /** A connection stands, made at `since`, and so do the subscriptions to what all centrals say. */ {
      readonly type: 'connected';
      readonly since: number;
    }
  | { readonly type: 'disconnected' } /** Also what this central said itself. */
  | { readonly type: 'heard'; readonly from: CentralStatus; readonly retained: boolean }
  | /** Several times per `beatMs`. */ { readonly type: 'tick' }
  | { readonly type: 'resign' }
);

/** What the election asks for, in the order given. */
export type ElectionEffect =
  | {
      /** Say this to the others; `retained` where it is a new state that the broker is to keep. */
      readonly type: 'announce';
      readonly status: CentralStatus;
      readonly retained: boolean;
    } /** This central is the active one from now on. Once. */
  | { readonly type: 'lead'; readonly epoch: number } /** It is not any more, for good; `by` is the one that is. */
  | {
      readonly type: 'step-down';
      readonly by: CentralStatus;
    } /** Another one is active and waiting was not asked for. */
  | { readonly type: 'refused'; readonly by: CentralStatus };

interface Peer {
  readonly status: CentralStatus;
  /** Until when it counts as alive. */
  until: number;
  /** Heard itself, not only what the broker kept of it. */
  readonly live: boolean;
}

type Phase = 'listening' | 'standby' | 'claiming' | 'active' | 'ended';

/** Other centrals that are remembered, and own announcements that may still come back. */
const PEERS_KEPT = 64;
const SENT_KEPT = 64;
/** Some brokers send what they retained a little after they granted the subscription: asked twice, it is there. */
const ECHOES = 2;

const contends = ({ state }: CentralStatus): boolean => state === 'claiming' || state === 'active';

/** Whether `a` goes before `b`: the higher epoch, then the id and the boot id that sort first. */
export function isAbove(a: CentralStatus, b: CentralStatus): boolean {
  if (a.epoch !== b.epoch) return a.epoch > b.epoch;
  return a.id === b.id ? a.boot_id < b.boot_id : a.id < b.id;
}

/** One central's view of the election. */
export class Election {
  readonly #options: ElectionOptions;
  readonly #times: ElectionTimes;
  readonly #peers = new Map<string, Peer>();
  /** Own announcements under way on this connection: number to time of sending. */
  readonly #sent = new Map<number, number>();
  #effects: ElectionEffect[] = [];
  #phase: Phase = 'listening';
  #connected = false;
  #epoch = 0;
  #highest = 0;
  #seq = 0;
  #beatAt = Number.NEGATIVE_INFINITY;
  #tickAt = Number.NEGATIVE_INFINITY;
  /** Whether it was active before this connection. */
  #reconnected = false;
  #connectedAt = Number.NEGATIVE_INFINITY;
  /** When the newest announcement that came back was sent. */
  #echoedFrom = Number.NEGATIVE_INFINITY;
  /** When the own claim came back; undefined until then. */
  #claimedAt: number | undefined;
  #mayHurry = false;
  /** Own announcements heard in this phase and on this connection. */
  #echoes = 0;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#times = options.times ?? ELECTION_TIMES;
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** Of the claim that was made last; 0 before the first. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Whether this central may act as the active one at the time `at`. */
  holds(at: number): boolean {
    // Somebody may have claimed meanwhile and been cut off before this one could hear it.
    const mayHaveMissed = this.#peers.size > 0 && at - this.#connectedAt < this.#times.leaseMs;
    const mayMissYet = this.#reconnected && (mayHaveMissed || this.#echoes < ECHOES);
    return this.#phase === 'active' && this.#isFresh(at) && !mayMissYet;
  }

  /** Takes one event and returns what has to be done. */
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
    // What is kept of a peer may be older than what it was heard to say; its last will has no number.
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
      // So that it hears of this one and yields.
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

  /** Without `standby` one that is there and lives is the end of it. */
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
    // What would lead above the highest epoch of all is of no use: nodes follow whom they hear (shared/node/epochs.ts).
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

  /** Nobody can be called silent by one who did not listen. */
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

  /** One announcement to all; with `retained` it is kept first, so that who comes now knows of it too. */
  #announce(at: number, retained: boolean): void {
    if (retained) this.#effects.push({ type: 'announce', status: this.#status(), retained: true });
    this.#seq++;
    this.#beatAt = at;
    this.#sent.set(this.#seq, at);
    if (this.#sent.size > SENT_KEPT) this.#sent.delete(this.#sent.keys().next().value!);
    this.#effects.push({ type: 'announce', status: this.#status(), retained: false });
  }
}
