import { CENTRAL } from '../../../shared/plan/plan.ts';
import type { Link, Problem } from '../strategy.ts';

/** How something gets from one machine to another. */
export interface Hop {
  readonly from: string;
  readonly to: string;
  /** Whether links lead there. */
  readonly isPossible: boolean;
  /** In order: one direct link, or the one to the broker and the one from it; none within a machine. */
  readonly legs: readonly Link[];
  /** Processor time of the messages at the sender and at the receiver. */
  readonly sender_ms: number;
  readonly receiver_ms: number;
  /** Without any byte; infinite where no link leads there. */
  readonly fixed_ms: number;
  readonly ms_per_byte: number;
  /** Until central has heard of the sender's result and its order has reached the receiver; 0 if central has no links. */
  readonly order_ms: number;
}

/** The hop between two machines. */
export type Hops = (from: string, to: string) => Hop;

/**
 * The hops of a problem: over a direct link if there is one, else through the broker, both legs one after another.
 * `rtt_ms` and bytes / bandwidth add up (Scission, UCC 2020, section IV).
 */
export function hopsOf({ links, broker, nodes }: Pick<Problem, 'links' | 'broker' | 'nodes'>): Hops {
  const direct = new Map(links.map((link) => [`${link.from} ${link.to}`, link]));
  const messageMs = new Map(nodes.map(({ id, message_ms = 0 }) => [id, message_ms]));
  const legsOf = (from: string, to: string): readonly Link[] | undefined => {
    if (from === to) return [];
    const link = direct.get(`${from} ${to}`);
    if (link !== undefined) return [link];
    if (broker === null || from === broker || to === broker) return undefined;
    const [up, down] = [direct.get(`${from} ${broker}`), direct.get(`${broker} ${to}`)];
    return up === undefined || down === undefined ? undefined : [up, down];
  };
  const emptyMs = (from: string, to: string): number => {
    if (from === to) return 0;
    const messages = (messageMs.get(from) ?? 0) + (messageMs.get(to) ?? 0);
    return legsOf(from, to)?.reduce((sum, { rtt_ms }) => sum + rtt_ms, messages) ?? Number.POSITIVE_INFINITY;
  };
  const known = new Map<string, Hop>();
  return (from, to) => {
    const name = `${from} ${to}`;
    const before = known.get(name);
    if (before !== undefined) return before;
    const legs = legsOf(from, to) ?? [];
    const orderMs = emptyMs(from, CENTRAL) + emptyMs(CENTRAL, to);
    const isAway = from !== to;
    const fixedMs = emptyMs(from, to);
    const hop: Hop = {
      from,
      to,
      isPossible: Number.isFinite(fixedMs),
      legs,
      sender_ms: isAway ? (messageMs.get(from) ?? 0) : 0,
      receiver_ms: isAway ? (messageMs.get(to) ?? 0) : 0,
      fixed_ms: fixedMs,
      ms_per_byte: legs.reduce((sum, { mbps }) => sum + 1 / (mbps * 125), 0),
      order_ms: Number.isFinite(orderMs) ? orderMs : 0,
    };
    known.set(name, hop);
    return hop;
  };
}

/** From the end of one part until another one, which needs these bytes of it, can start, in ms; infinite without links. */
export function hopMs({ fixed_ms, ms_per_byte, order_ms }: Hop, bytes: number): number {
  return Math.max(fixed_ms + bytes * ms_per_byte, order_ms);
}
