import type { CentralStatus } from '../../shared/protocol/messages/central.ts';

/** A connection was made at `since`, and the subscriptions to the announcements of all centrals stand. */
interface Connected {
  readonly type: 'connected';
  readonly since: number;
}

interface Disconnected {
  readonly type: 'disconnected';
}

/** An announcement of a central arrived, possibly this central's own. */
interface Heard {
  readonly type: 'heard';
  readonly from: CentralStatus;
  readonly retained: boolean;
}

/** Comes several times per `beatMs`. */
interface Tick {
  readonly type: 'tick';
}

/** This central stops. */
interface Resign {
  readonly type: 'resign';
}

/** What the election is told, without the time. */
export type UntimedElectionEvent = Connected | Disconnected | Heard | Tick | Resign;

/** What the election is told; `at` is the time in ms of one steady clock. */
export type ElectionEvent = UntimedElectionEvent & { readonly at: number };

/** Publish the own status; `retained` where the status is a new one. */
interface Announce {
  readonly type: 'announce';
  readonly status: CentralStatus;
  readonly retained: boolean;
}

/** This central is the active one from now on. Comes once. */
interface Lead {
  readonly type: 'lead';
  readonly epoch: number;
}

/** This central is not the active one any more, and never will be again; `by` is the active one. */
interface StepDown {
  readonly type: 'step-down';
  readonly by: CentralStatus;
}

/** Another central is active, and `standby` is not set. */
interface Refused {
  readonly type: 'refused';
  readonly by: CentralStatus;
}

/** What the election asks for, in the order given. */
export type ElectionEffect = Announce | Lead | StepDown | Refused;
