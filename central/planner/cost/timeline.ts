import { CENTRAL } from '../../../shared/plan/plan.ts';
import type { Hop, Hops } from './hop.ts';
import type { PredictedHop, PredictedPart } from './prediction.ts';

/** A part that is to be computed. */
export interface Task {
  readonly stage: number;
  readonly t_id: number;
  readonly node: string;
  readonly ms: number;
  /** In ms^2. */
  readonly variance: number;
}

/** All that a machine needs of a part, in one message; of the frame where `maker` is null. */
export interface Transfer {
  readonly maker: Task | null;
  readonly from: string;
  readonly to: string;
  readonly regions: readonly { readonly tensor: string; readonly bytes: number }[];
  /** The parts that wait for it; none where only the network's user does. */
  readonly readers: readonly Task[];
  /** What central's data plane does with it: before it is sent, where central sends it, otherwise once it has come. */
  readonly data_ms: number;
}

/** A moment with its uncertainty. */
interface Moment {
  readonly ms: number;
  readonly variance: number;
}

/** When everything happens to one frame that is alone. */
export interface Timeline {
  readonly parts: readonly (PredictedPart & { readonly stage: number })[];
  readonly hops: readonly PredictedHop[];
  /** When the last part ended and the last transfer arrived. */
  readonly end: Moment;
}

/** What central's data plane does. */
const DATA_PLANE = `tensors at ${CENTRAL}`;

/** Things that happen, in the order of their time; of one time in the order in which they were planned. */
class Agenda {
  readonly #coming: { readonly ms: number; readonly happen: () => void }[] = [];

  at(ms: number, happen: () => void): void {
    let [low, high] = [0, this.#coming.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#coming[middle]!.ms <= ms) high = middle;
      else low = middle + 1;
    }
    this.#coming.splice(low, 0, { ms, happen });
  }

  run(): void {
    for (let next = this.#coming.pop(); next !== undefined; next = this.#coming.pop()) next.happen();
  }
}

/**
 * Plays a frame through, which is there from `openMs` on: a machine computes one part, and sends or receives one message,
 * at a time, a link carries one message at a time, and central's data plane handles one at a time, each in the order in
 * which they are ready. A part starts when all that it reads is there and central's order has come, which central sends
 * once it has heard of all that the part reads; what central itself sends or gets needs no other message.
 */
export function play(tasks: readonly Task[], transfers: readonly Transfer[], hops: Hops, openMs: number): Timeline {
  const agenda = new Agenda();
  const free = new Map<string, Moment>();
  const missing = new Map(tasks.map((task) => [task, 0]));
  const ready = new Map<Task, Moment>();
  const sends = new Map<Task | null, Transfer[]>();
  /** Parts for which central sends an order, with those of which it has not heard (null: the frame). */
  const orders = new Map<Task, Set<Task | null>>();
  for (const transfer of transfers) {
    const others = sends.get(transfer.maker);
    if (others === undefined) sends.set(transfer.maker, [transfer]);
    else others.push(transfer);
    for (const reader of transfer.readers) missing.set(reader, missing.get(reader)! + 1);
    const { maker, from, to } = transfer;
    if (from === CENTRAL || to === CENTRAL) continue;
    if (!hops(from, CENTRAL).isPossible || !hops(CENTRAL, to).isPossible) continue;
    for (const reader of transfer.readers) orders.set(reader, (orders.get(reader) ?? new Set()).add(maker));
  }
  for (const reader of orders.keys()) missing.set(reader, missing.get(reader)! + 1);
  const parts: (PredictedPart & { stage: number })[] = [];
  const moved: PredictedHop[] = [];
  const opened: Moment = { ms: openMs, variance: 0 };
  let end = opened;
  const ends = (moment: Moment): void => {
    if (moment.ms > end.ms) end = moment;
  };

  const compute = (task: Task, at: Moment): void => {
    const start = later(at, free.get(task.node));
    const done = { ms: start.ms + task.ms, variance: start.variance + task.variance };
    free.set(task.node, done);
    const { stage, t_id, node } = task;
    parts.push({ stage, t_id, node, start_ms: start.ms, end_ms: done.ms });
    ends(done);
    for (const transfer of sends.get(task) ?? []) agenda.at(done.ms, () => send(transfer, done));
    announce(task, node, done);
  };
  const announce = (maker: Task | null, node: string, made: Moment): void => {
    const readers = [...orders].filter(([, makers]) => makers.has(maker));
    if (readers.length === 0) return;
    agenda.at(made.ms, () =>
      go(hops(node, CENTRAL), made.ms, 0, (heard) => {
        for (const [reader, makers] of readers) {
          makers.delete(maker);
          if (makers.size > 0) continue;
          go(hops(CENTRAL, reader.node), heard, 0, (ms) => arrive(reader, { ms, variance: made.variance }));
        }
      }),
    );
  };
  const arrive = (task: Task, at: Moment): void => {
    const all = later(at, ready.get(task));
    ready.set(task, all);
    const left = missing.get(task)! - 1;
    missing.set(task, left);
    if (left === 0) agenda.at(all.ms, () => compute(task, all));
  };
  const send = (transfer: Transfer, made: Moment): void => {
    const { from, to, regions, readers, data_ms } = transfer;
    const hop = hops(from, to);
    const there = (ms: number): void => {
      if (readers.length === 0) ends({ ms, variance: made.variance });
      for (const reader of readers) arrive(reader, { ms, variance: made.variance });
    };
    const landed = (ms: number): void => {
      if (from !== to) for (const region of regions) moved.push({ from, to, ...region, start_ms: made.ms, end_ms: ms });
      if (from === CENTRAL) there(ms);
      else handle(DATA_PLANE, ms, data_ms, there);
    };
    if (!hop.isPossible) landed(Number.POSITIVE_INFINITY);
    else handle(DATA_PLANE, made.ms, from === CENTRAL ? data_ms : 0, (ms) => go(hop, ms, bytesIn(transfer), landed));
  };
  /** Has something take `ms` of what does one thing at a time. */
  const occupy = (what: string, at: number, ms: number, done: (ms: number) => void): void =>
    agenda.at(at, () => {
      const end = Math.max(at, free.get(what)?.ms ?? 0) + ms;
      free.set(what, { ms: end, variance: 0 });
      done(end);
    });
  /** As `occupy`, where `ms` may be unknown and then is 0. */
  const handle = (what: string, at: number, ms: number, done: (ms: number) => void): void =>
    ms === 0 ? done(at) : occupy(what, at, ms, done);
  const go = (hop: Hop, at: number, bytes: number, landed: (ms: number) => void): void =>
    handle(`messages of ${hop.from}`, at, hop.sender_ms, (ms) => cross(hop, 0, ms, bytes, landed));
  const cross = (hop: Hop, leg: number, at: number, bytes: number, landed: (ms: number) => void): void => {
    const link = hop.legs[leg];
    if (link === undefined) {
      handle(`messages of ${hop.to}`, at, hop.receiver_ms, landed);
      return;
    }
    occupy(`${link.from} > ${link.to}`, at, bytes / (link.mbps * 125), (gone) =>
      cross(hop, leg + 1, gone + link.rtt_ms, bytes, landed),
    );
  };

  for (const task of tasks) if (missing.get(task) === 0) agenda.at(openMs, () => compute(task, opened));
  const frames = sends.get(null) ?? [];
  for (const transfer of frames) agenda.at(openMs, () => send(transfer, opened));
  if (frames.length > 0) announce(null, frames[0]!.from, opened);
  agenda.run();
  return { parts, hops: moved, end };
}

/** Bytes of a transfer. */
export function bytesIn({ regions }: Transfer): number {
  return regions.reduce((sum, { bytes }) => sum + bytes, 0);
}

function later(a: Moment, b: Moment | undefined): Moment {
  return b !== undefined && b.ms > a.ms ? b : a;
}
