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
 * Plays a frame through: a machine computes one part at a time, a link carries one message at a time, each in the order in
 * which they are ready. A part starts when all that it reads is there and central's order has come.
 */
export function play(tasks: readonly Task[], transfers: readonly Transfer[], hops: Hops): Timeline {
  const agenda = new Agenda();
  const free = new Map<string, Moment>();
  const missing = new Map(tasks.map((task) => [task, 0]));
  const ready = new Map<Task, Moment>();
  const sends = new Map<Task | null, Transfer[]>();
  for (const transfer of transfers) {
    const others = sends.get(transfer.maker);
    if (others === undefined) sends.set(transfer.maker, [transfer]);
    else others.push(transfer);
    for (const reader of transfer.readers) missing.set(reader, missing.get(reader)! + 1);
  }
  const parts: (PredictedPart & { stage: number })[] = [];
  const moved: PredictedHop[] = [];
  let end: Moment = { ms: 0, variance: 0 };
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
  };
  const arrive = (task: Task, at: Moment): void => {
    const all = later(at, ready.get(task));
    ready.set(task, all);
    const left = missing.get(task)! - 1;
    missing.set(task, left);
    if (left === 0) agenda.at(all.ms, () => compute(task, all));
  };
  const send = (transfer: Transfer, made: Moment): void => {
    const { from, to, regions, readers } = transfer;
    const hop = hops(from, to);
    const bytes = bytesIn(transfer);
    const ordered = made.ms + hop.order_ms;
    const landed = (ms: number): void => {
      if (from !== to) for (const region of regions) moved.push({ from, to, ...region, start_ms: made.ms, end_ms: ms });
      if (readers.length === 0) ends({ ms, variance: made.variance });
      for (const reader of readers) arrive(reader, { ms: Math.max(ms, ordered), variance: made.variance });
    };
    if (hop.fixed_ms === Number.POSITIVE_INFINITY) landed(hop.fixed_ms);
    else cross(hop, 0, made.ms + hop.sender_ms, bytes, landed);
  };
  const cross = (hop: Hop, leg: number, at: number, bytes: number, landed: (ms: number) => void): void => {
    const link = hop.legs[leg];
    if (link === undefined) {
      landed(at + hop.receiver_ms);
      return;
    }
    agenda.at(at, () => {
      const name = `${link.from} > ${link.to}`;
      const start = Math.max(at, free.get(name)?.ms ?? 0);
      const gone = start + bytes / (link.mbps * 125);
      free.set(name, { ms: gone, variance: 0 });
      cross(hop, leg + 1, gone + link.rtt_ms, bytes, landed);
    });
  };

  for (const task of tasks) if (missing.get(task) === 0) agenda.at(0, () => compute(task, { ms: 0, variance: 0 }));
  for (const transfer of sends.get(null) ?? []) agenda.at(0, () => send(transfer, { ms: 0, variance: 0 }));
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
