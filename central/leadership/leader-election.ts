import { TesseraError } from '../../shared/errors.ts';
import { LogThrottle } from '../../shared/log-throttle.ts';
import type { Bus, Log, Message } from '../../shared/ports.ts';
import { readCentralStatus } from '../../shared/protocol/central-status.ts';
import { MAX_EPOCH } from '../../shared/protocol/epoch.ts';
import type { CentralStatus } from '../../shared/protocol/messages/central.ts';
import type { Topics } from '../../shared/protocol/topics.ts';
import { Election } from './election.ts';
import type { ElectionEffect, UntimedElectionEvent } from './election-events.ts';

/** What `LeaderElection` needs. */
export interface LeaderElectionOptions {
  readonly bus: Bus;
  readonly topics: Topics;
  readonly id: string;
  /** Names this run of the process. */
  readonly boot: string;
  /** Waits while another central is active; without it `start` fails then. */
  readonly standby: boolean;
  /** This process has just started the broker, so no other central can be active there. */
  readonly isFirst?: boolean | undefined;
  /** The least epoch to claim. */
  readonly floor: number;
  /** Keeps an epoch on disk before it is announced. */
  readonly keepEpoch: (epoch: number) => void;
  /**
   * Called whenever `holds` is true after an event or a tick, because the lease can run out and be renewed between two
   * ticks. Messages that wait for the lease are accepted then, and need no new frame to wake them.
   */
  readonly onHolds: () => void;
  /** Another central is active now; this one never will be again. */
  readonly onStepDown: (by: CentralStatus) => void;
  /** This central waits, because another one is active. */
  readonly onWait: (by: CentralStatus) => void;
  readonly log: Log;
}

const TICK_MS = 100;

/** The last will of a central's connection. */
export function lastWordsOf(id: string, boot: string): string {
  return JSON.stringify({ v: 1, id, boot_id: boot, state: 'lost', epoch: 0, seq: 0 } satisfies CentralStatus);
}

/** Runs the election (election.ts) with a clock and a broker: publishes and receives announcements. */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #election: Election;
  readonly #throttledLog: LogThrottle;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #connected = false;
  /** When the connection was made: models are loaded between that and the start of the election. */
  #since = 0;
  #waitsFor: string | undefined;
  #settle: { resolve: (epoch: number) => void; reject: (error: Error) => void } | undefined;

  constructor(options: LeaderElectionOptions) {
    const { id, boot, standby, isFirst, floor } = options;
    this.#options = options;
    this.#throttledLog = new LogThrottle(options.log, () => performance.now());
    const clockOffsetMs = Date.now() - performance.now();
    this.#election = new Election({ id, boot, standby, isFirst, floor, clockOffsetMs });
    options.bus.onConnect(() => {
      this.#since = performance.now();
    });
  }

  /** Whether this central may act as the active one now. */
  get holds(): boolean {
    return this.#options.bus.connected && this.#election.holds(performance.now());
  }

  /** Resolves with the epoch once this central is the active one. Throws TESSERA_CENTRAL_ACTIVE. */
  async start(): Promise<number> {
    const { bus, topics } = this.#options;
    if (this.#stopped) throw stoppedEarly();
    const leading = new Promise<number>((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    leading.catch(() => {});
    await bus.subscribe(topics.centralStatusAll, 1, (message) => this.#onMessage(message));
    await bus.subscribe(topics.centralHeartbeatAll, 0, (message) => this.#onMessage(message));
    bus.onConnect(() => {
      if (this.#connected) this.#tell({ type: 'disconnected' });
      this.#connected = true;
      this.#tell({ type: 'connected', since: this.#since });
    });
    if (!this.#stopped) this.#timer = setInterval(() => this.#tick(), TICK_MS);
    return leading;
  }

  /** Resigns, so that another central can take over at once. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#tell({ type: 'resign' });
    this.#settle?.reject(stoppedEarly());
  }

  #tick(): void {
    if (this.#connected && !this.#options.bus.connected) {
      this.#connected = false;
      this.#tell({ type: 'disconnected' });
    }
    this.#tell({ type: 'tick' });
  }

  #onMessage({ payload, retained }: Message): void {
    const status = readCentralStatus(payload);
    if (status === undefined) return;
    if (status.epoch > MAX_EPOCH) {
      const { id, epoch } = status;
      this.#throttledLog.warn(id, `central ${id} claims epoch ${epoch}, above what any central may: it is ignored`);
      return;
    }
    this.#tell({ type: 'heard', from: status, retained });
  }

  #tell(event: UntimedElectionEvent): void {
    for (const effect of this.#election.handle({ ...event, at: performance.now() })) this.#carryOut(effect);
    if (event.type === 'heard' && event.from.state === 'active' && this.#election.phase === 'standby')
      this.#noteWait(event.from);
    if (this.holds) this.#options.onHolds();
  }

  #noteWait(by: CentralStatus): void {
    if (this.#waitsFor === by.boot_id) return;
    this.#waitsFor = by.boot_id;
    this.#options.onWait(by);
  }

  #carryOut(effect: ElectionEffect): void {
    const { id, log, onStepDown, keepEpoch } = this.#options;
    switch (effect.type) {
      case 'announce':
        if (effect.status.state === 'claiming') keepEpoch(effect.status.epoch);
        this.#announce(effect.status, effect.retained);
        break;
      case 'lead':
        log.debug(`central ${id} is active in epoch ${effect.epoch}`);
        this.#settle?.resolve(effect.epoch);
        this.#settle = undefined;
        break;
      case 'step-down':
        log.warn(`central ${effect.by.id} has taken over in epoch ${effect.by.epoch}`);
        onStepDown(effect.by);
        break;
      case 'refused':
        this.#settle?.reject(
          new TesseraError('TESSERA_CENTRAL_ACTIVE', `central "${effect.by.id}" is active at this broker`, {
            hint: 'stop that one, or start this one with `tessera central --standby`: it takes over when that one is gone',
          }),
        );
        this.#settle = undefined;
        clearInterval(this.#timer);
    }
  }

  #announce(status: CentralStatus, retained: boolean): void {
    const { bus, topics, id, log } = this.#options;
    const text = JSON.stringify(status);
    const said = retained
      ? bus.publish(topics.centralStatus(id), text, { qos: 1, retain: true })
      : bus.publish(topics.centralHeartbeat(id), text);
    said.catch((error: unknown) => log.warn(`the other centrals could not be told: ${error}`));
  }
}

function stoppedEarly(): TesseraError {
  return new TesseraError('TESSERA_BROKER', 'central was stopped before it was active');
}
