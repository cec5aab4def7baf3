/** What the broker counts. */
export interface BrokerCounters {
  /** Connections that stand now, authenticated or not. */
  connections: number;
  published: number;
  refusedConnections: number;
  /** Connections that were closed because their sender had not said who he is. */
  closedSilent: number;
  refusedPublishes: number;
  refusedSubscriptions: number;
  oversizePackets: number;
  droppedForSlowReaders: number;
  /** Messages of QoS 0 above the rate of their client. */
  droppedOfFloods: number;
  /** Retained messages that were delivered and not kept: frames, and those beyond the limits. */
  notRetained: number;
  closedSlowReaders: number;
  /** Frames kept for a central that was away, dropped because there were too many or it did not return. */
  droppedKept: number;
  /** Messages dropped from the sessions of other clients, because too many waited. */
  droppedForSessions: number;
  /** Frames that could not be kept, and so were not acknowledged. */
  refusedFrames: number;
}

/** Counters before anything has happened. */
export const newCounters = (): BrokerCounters => ({
  connections: 0,
  published: 0,
  refusedConnections: 0,
  closedSilent: 0,
  refusedPublishes: 0,
  refusedSubscriptions: 0,
  oversizePackets: 0,
  droppedForSlowReaders: 0,
  droppedOfFloods: 0,
  notRetained: 0,
  closedSlowReaders: 0,
  droppedKept: 0,
  droppedForSessions: 0,
  refusedFrames: 0,
});
