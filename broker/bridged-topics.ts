import { matchesFilter } from '../shared/protocol/filter.ts';

/**
 * What a bridge carries between the built-in broker and another one. No topic goes both ways, so nothing goes round in a
 * circle; frames and the messages between central and nodes stay here.
 */

/** Which topics come in, and which go out. */
export interface BridgedTopics {
  /** Filters of what the bridge subscribes to at the other broker: settings of cameras, Home Assistant's status. */
  readonly inward: readonly string[];
  /** Filters of what it subscribes to here. */
  readonly outward: readonly string[];
  readonly goesOut: (topic: string) => boolean;
}

/** The topics under a base and Home Assistant's discovery prefix. Requests do not come in: they have an admin's rights. */
export function bridgedTopics(base: string, prefix: string): BridgedTopics {
  const inward = [`${base}/camera/+/+/set`, `${prefix}/status`];
  const own = ['status', 'central/#', 'result/#', 'camera/#', 'node/+/status', 'node/+/info', 'node/+/health'];
  const outward = [...own, 'stats', 'broker/stats', 'plan/#', 'event/#'].map((topic) => `${base}/${topic}`);
  outward.push(`${prefix}/device/+/config`);
  const isOf = (filters: readonly string[], topic: string): boolean =>
    filters.some((filter) => matchesFilter(filter, topic));
  return { inward, outward, goesOut: (topic) => isOf(outward, topic) && !isOf(inward, topic) };
}
