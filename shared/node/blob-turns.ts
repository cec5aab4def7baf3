import type { BlobRange } from '../protocol/messages/blob.ts';

/**
 * Decides which range of which blob is sent next, and to whom: a range that several nodes want is sent once to all of
 * them.
 *
 *   node: unknown --ask--> member --everything was sent, it asks for nothing, silent for a minute--> unknown
 *   run (a blob from `next` on, with the nodes that want it): open --its last byte was sent--> gone
 *
 * 1. A node joins a run that has not passed what it wants, or not by much: then what it missed comes by a run of its own.
 *    Otherwise a run begins for it.
 * 2. Nodes take turns; a turn is one chunk of the first run of a node, and counts for every node that gets the chunk.
 * 3. A node has at most WINDOW_BYTES on the way. A run waits PATIENCE_MS for a node without room, and from then on no more
 *    until that node has caught up; it asks again for what it missed.
 * 4. Chunks begin at multiples of CHUNK_BYTES, so that a range that was joined late fits to what was sent before.
 */

/** Most bytes of one chunk: small enough for one message on any broker, so large that messages cost little. */
export const CHUNK_BYTES = 128 * 1024;
/** Most bytes on the way to a node: enough to fill a link, few enough for 1.6 Mbit/s to answer within the time-outs. */
const WINDOW_BYTES = 4 * CHUNK_BYTES;
/** How much a node may have missed of a run that it joins: it keeps what comes in the meantime in memory. */
const JOIN_BYTES = 2 * 1024 * 1024;
/** How long central waits for further nodes before it begins to send a blob, ms. */
export const GATHER_MS = 100;
/** How long the other nodes of a run wait for one that does not confirm what it got, ms. */
const PATIENCE_MS = 500;
/** A node that is silent for so long is forgotten, ms. */
const FORGET_MS = 60_000;
/** Most nodes that are served at a time. */
const MAX_MEMBERS = 1024;

/** A range to send. */
export interface Chunk extends BlobRange {
  /** The nodes that want it; at least one. */
  readonly to: readonly string[];
}

interface Member {
  readonly node: string;
  readonly request: number;
  /** What it still wants, in its order. */
  readonly runs: Run[];
  sent: number;
  got: number;
  heardAt: number;
  /** Since when it has no room, ms. */
  fullSince: number | undefined;
}

interface Run {
  readonly sha: string;
  readonly wants: Map<Member, { readonly from: number; readonly to: number }>;
  next: number;
  begun: boolean;
  /** When it may begin, ms. */
  readonly at: number;
}

/** See above; `now` is a steady clock, milliseconds. */
export class BlobTurns {
  /** The node whose turn is next comes first. */
  readonly #members = new Map<string, Member>();
  readonly #runs = new Map<string, Set<Run>>();
  readonly #gatherMs: number;

  /** `gatherMs`: how long a run waits for further nodes before it begins. */
  constructor(gatherMs = 0) {
    this.#gatherMs = gatherMs;
  }

  /** Takes in all that a node wants now, in place of what it asked for before; false where too many nodes are served. */
  ask(node: string, request: number, ranges: readonly BlobRange[], now: number): boolean {
    this.forget(node);
    if (ranges.length === 0) return true;
    if (this.#members.size >= MAX_MEMBERS) return false;
    const member: Member = { node, request, runs: [], sent: 0, got: 0, heardAt: now, fullSince: undefined };
    this.#members.set(node, member);
    for (const { sha, offset, length } of ranges) {
      const run = this.#runFor(member, sha, offset, now);
      const from = Math.max(offset, run.next);
      const missed = Math.min(from, offset + length);
      if (missed > offset) this.#join(member, this.#newRun(sha, offset, now), offset, missed);
      if (missed < offset + length) this.#join(member, run, from, offset + length);
    }
    return true;
  }

  #join(member: Member, run: Run, from: number, to: number): void {
    run.wants.set(member, { from, to });
    member.runs.push(run);
  }

  /** Takes in how many bytes have come to a node since it asked. */
  got(node: string, request: number, bytes: number, now: number): void {
    const member = this.#members.get(node);
    if (member?.request !== request) return;
    member.heardAt = now;
    member.got = Math.min(member.sent, Math.max(member.got, bytes));
    if (member.sent - member.got < WINDOW_BYTES) member.fullSince = undefined;
  }

  /** Whether a node other than `but` wants the blob. */
  isWanted(sha: string, but: string): boolean {
    const runs = [...(this.#runs.get(sha) ?? [])];
    return runs.some(({ wants }) => [...wants.keys()].some(({ node }) => node !== but));
  }

  /** The next chunk; or when to ask again, ms; or undefined where only an event changes anything. */
  next(now: number): Chunk | number | undefined {
    let again: number | undefined;
    for (const member of [...this.#members.values()]) {
      if (now - member.heardAt > FORGET_MS) {
        this.forget(member.node);
        continue;
      }
      const run = member.runs[0]!;
      if (run.at > now) {
        again = Math.min(again ?? run.at, run.at);
        continue;
      }
      const chunk = chunkOf(run);
      const full = chunk.to.filter(({ fullSince }) => fullSince !== undefined);
      const awaited = full.map(({ fullSince }) => fullSince! + PATIENCE_MS).filter((until) => until > now);
      if (full.length < chunk.to.length && awaited.length === 0) return this.#send(run, chunk, now);
      const until = full.length < chunk.to.length ? Math.min(...awaited) : member.heardAt + FORGET_MS + 1;
      again = Math.min(again ?? until, until);
    }
    return again;
  }

  /** Forgets what a node wants. */
  forget(node: string): void {
    const member = this.#members.get(node);
    if (member === undefined) return;
    this.#members.delete(node);
    for (const run of member.runs) this.#drop(run, member);
  }

  #runFor(member: Member, sha: string, offset: number, now: number): Run {
    for (const run of this.#runs.get(sha) ?? []) {
      if (run.wants.has(member) || (run.begun && run.next > offset + JOIN_BYTES)) continue;
      if (!run.begun) run.next = Math.min(run.next, offset);
      return run;
    }
    return this.#newRun(sha, offset, now);
  }

  #newRun(sha: string, next: number, now: number): Run {
    const run: Run = { sha, wants: new Map(), next, begun: false, at: now + this.#gatherMs };
    this.#runs.set(sha, (this.#runs.get(sha) ?? new Set()).add(run));
    return run;
  }

  #send(run: Run, { length, to }: ReturnType<typeof chunkOf>, now: number): Chunk {
    const offset = run.next;
    run.begun = true;
    run.next += length;
    for (const member of to) {
      member.sent += length;
      if (member.sent - member.got >= WINDOW_BYTES) member.fullSince ??= now;
      if (run.wants.get(member)!.to <= run.next) {
        member.runs.splice(member.runs.indexOf(run), 1);
        this.#drop(run, member);
      }
      this.#members.delete(member.node);
      if (member.runs.length > 0) this.#members.set(member.node, member);
    }
    skipUnwanted(run);
    return { sha: run.sha, offset, length, to: to.map(({ node }) => node) };
  }

  /** A run without nodes ends. */
  #drop(run: Run, member: Member): void {
    run.wants.delete(member);
    skipUnwanted(run);
    if (run.wants.size > 0) return;
    const runs = this.#runs.get(run.sha)!;
    runs.delete(run);
    if (runs.size === 0) this.#runs.delete(run.sha);
  }
}

/** A run goes on with the first byte that one of its nodes wants. */
function skipUnwanted(run: Run): void {
  if (run.wants.size > 0) run.next = Math.max(run.next, Math.min(...[...run.wants.values()].map(({ from }) => from)));
}

/** The next chunk of a run, up to the next multiple of CHUNK_BYTES, and the nodes that want some of it. */
function chunkOf({ next, wants }: Run): { readonly length: number; readonly to: readonly Member[] } {
  const border = (Math.floor(next / CHUNK_BYTES) + 1) * CHUNK_BYTES;
  const overlapping = [...wants].filter(([, { from, to }]) => from < border && to > next);
  const end = Math.min(border, Math.max(...overlapping.map(([, { to }]) => to)));
  return { length: end - next, to: overlapping.map(([member]) => member) };
}
