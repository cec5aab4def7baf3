/** Times of an election, milliseconds. */
export interface ElectionTimes {
  readonly beatMs: number;
  readonly leaseMs: number;
  /** An active central that is not heard for so long counts as gone. */
  readonly silenceMs: number;
  /** A central whose connection was lost may come back within so long. */
  readonly lostMs: number;
  readonly claimMs: number;
}

/** A standby takes over about 4.5 s after the active central's connection was lost, and 6.5 s after it froze. */
export const ELECTION_TIMES: ElectionTimes = {
  beatMs: 500,
  leaseMs: 2500,
  silenceMs: 3000,
  lostMs: 1500,
  claimMs: 3000,
};

/** One participant of an election. */
export interface ElectionOptions {
  readonly id: string;
  /** Names this run of the process. */
  readonly boot: string;
  /** The least epoch to claim: above that of every earlier run of this process. */
  readonly floor: number;
  /** Unix time in ms at time 0 of the events. Epochs follow the clock where no party remembers the last one. */
  readonly clockOffsetMs: number;
  /** Waits while another central is active; without it the election ends then. */
  readonly standby: boolean;
  /** This process has just started the broker, so no other central can be active there: the first claim holds at once. */
  readonly isFirst?: boolean | undefined;
  readonly times?: ElectionTimes;
}
