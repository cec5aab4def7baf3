import { failureOf } from '../errors.ts';
import { BlobTurns, type Chunk, GATHER_MS } from '../node/blob-turns.ts';
import type { BlobStore, Log } from '../ports.ts';
import { type BlobGetMessage, type BlobRange, blobGetMessage, MAX_HOLDERS } from '../protocol/messages/blob.ts';
import { ALL } from '../protocol/topics.ts';
import { TokenBuckets } from '../token-buckets.ts';
import type { HeadFilter, Wire } from './wire.ts';

/** Chunks that are read and not yet sent, at most so many times 128 KiB. */
const AT_ONCE = 4;
/** Requests of a node, and its reports of what it got: burst, and rate per second. */
const REQUESTS = { burst: 64, perSecond: 8 } as const;
const REPORTS = { burst: 1024, perSecond: 1000 } as const;
/** How long a blob that one node was told to get elsewhere is sent to the next node that asks for it, ms. */
const ELSEWHERE_MS = 30_000;
/** Most blobs that are remembered as told to be elsewhere. */
const MAX_ELSEWHERE = 8192;

/** What a blob server needs. */
export interface BlobServerOptions {
  readonly wire: Pick<Wire, 'on' | 'send'>;
  readonly store: Pick<BlobStore, 'read'>;
  /** Bytes of a blob of a model that is served here; undefined for any other. */
  readonly sizeOf: (sha: string) => number | undefined;
  /** The nodes that have a blob, best first; absent: this server is no central, and sends nothing to all. */
  readonly holders?: (sha: string) => readonly string[];
  readonly log: Log;
  readonly now: () => number;
}

/**
 * Sends blobs to nodes: a range that several nodes want once to all of them. A blob that only one node wants, and that
 * other nodes have, it is told to get from them, so that central's link is spared.
 */
export class BlobServer {
  readonly #options: BlobServerOptions;
  readonly #turns: BlobTurns;
  /** When a node was last told to get a blob elsewhere. */
  readonly #elsewhere = new Map<string, number>();
  /** Chunks are sent in the order of their turns. */
  #line: Promise<unknown> = Promise.resolve();
  #busy = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: BlobServerOptions) {
    this.#options = options;
    this.#turns = new BlobTurns(options.holders === undefined ? 0 : GATHER_MS);
  }

  /** Answers requests from now on. */
  start(): void {
    const requests = new TokenBuckets(REQUESTS);
    const reports = new TokenBuckets(REPORTS);
    const mayAsk: HeadFilter = (from, head) =>
      ('got' in head ? reports : requests).take(from, this.#options.now()) ? 'unknown' : 'unasked';
    this.#options.wire.on('blob-get', blobGetMessage, (from, message) => this.#receive(from, message), mayAsk);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** False where nothing of what is asked for is here. */
  #receive(from: string, message: BlobGetMessage): boolean {
    const { sizeOf, now } = this.#options;
    if ('got' in message) {
      this.#turns.got(from, message.request, message.got, now());
      this.#work();
      return true;
    }
    const isHere = ({ sha, offset, length }: BlobRange): boolean => offset + length <= (sizeOf(sha) ?? -1);
    const ranges = message.ranges.filter(isHere);
    const wrong = message.ranges.find((range) => !isHere(range));
    if (wrong !== undefined) void this.#send(from, { v: 1, sha: wrong.sha, error: 'no such piece' });
    const here = message.direct === true ? ranges : this.#notElsewhere(from, ranges);
    if (!this.#turns.ask(from, message.request, here, now()))
      this.#options.log.warn(`too many nodes ask for pieces of models; ${from} has to ask again`);
    this.#work();
    return ranges.length > 0 || message.ranges.length === 0;
  }

  /** The ranges that are not left to other nodes; of those the node is told. */
  #notElsewhere(from: string, ranges: readonly BlobRange[]): readonly BlobRange[] {
    const { holders, now } = this.#options;
    if (holders === undefined) return ranges;
    const leftTo = new Map<string, string[]>();
    const here: BlobRange[] = [];
    for (const range of ranges) {
      const others = holders(range.sha).filter((node) => node !== from);
      const told = this.#elsewhere.get(range.sha) ?? Number.NEGATIVE_INFINITY;
      if (others.length === 0 || now() - told < ELSEWHERE_MS || this.#turns.isWanted(range.sha, from)) {
        here.push(range);
        continue;
      }
      if (this.#elsewhere.size >= MAX_ELSEWHERE) this.#elsewhere.clear();
      this.#elsewhere.set(range.sha, now());
      const key = others.slice(0, MAX_HOLDERS).join();
      leftTo.set(key, [...(leftTo.get(key) ?? []), range.sha]);
    }
    for (const [key, shas] of leftTo) void this.#send(from, { v: 1, at: key.split(','), shas });
    return here;
  }

  #work(): void {
    clearTimeout(this.#timer);
    const { now } = this.#options;
    while (this.#busy < AT_ONCE) {
      const next = this.#turns.next(now());
      if (next === undefined) return;
      if (typeof next === 'number') {
        this.#timer = setTimeout(() => this.#work(), Math.max(1, next - now())).unref();
        return;
      }
      this.#busy++;
      void this.#chunk(next).finally(() => {
        this.#busy--;
        this.#work();
      });
    }
  }

  async #chunk({ sha, offset, length, to }: Chunk): Promise<void> {
    const { store, sizeOf, holders } = this.#options;
    const size = sizeOf(sha) ?? 0;
    const receivers = to.length > 1 && holders !== undefined ? [ALL] : to;
    const read = store.read(sha, offset, length).then(
      (d) => ({ v: 1, sha, size, offset, d }),
      (error: unknown) => ({ v: 1, sha, error: failureOf(error).message }),
    );
    let sent: Promise<unknown> = Promise.resolve();
    this.#line = this.#line.then(async () => {
      const part = await read;
      sent = Promise.all(receivers.map((node) => this.#send(node, part)));
    });
    await this.#line;
    await sent;
  }

  async #send(to: string, message: unknown): Promise<void> {
    try {
      await this.#options.wire.send(to, 'blob-part', message);
    } catch (error) {
      this.#options.log.warn(`could not send a blob of a model to ${to}: ${failureOf(error).message}`);
    }
  }
}
