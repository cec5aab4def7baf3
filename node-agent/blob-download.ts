import { failureOf, TesseraError } from '../shared/errors.ts';
import type { BlobHandlers } from '../shared/node/plans.ts';
import type { BlobStore, BlobWriter, Log } from '../shared/ports.ts';
import {
  type BlobGetMessage,
  type BlobPartMessage,
  type BlobRange,
  MAX_RANGES,
} from '../shared/protocol/messages/blob.ts';
import {
  type Blob,
  brought,
  gapOf,
  heard,
  isWhole,
  newBlob,
  newSource,
  rangeOf,
  type Source,
  type WantedBlob,
} from './blob-state.ts';

/**
 * One download of missing blobs.
 *
 *   blob:   missing --chunks arrive, hash right--> stored
 *           --hash wrong--> missing, from its start: what another node, or an interrupted download, brought was wrong
 *   source: central, which is asked first --names nodes that have a blob--> such a node
 *           a node --silent, does not have it, wrong bytes--> the next one, at last central again
 *
 * 1. All that is missing is requested at once, in its order; the sender paces by the reports of what has come.
 * 2. What did not come is requested again when everything requested has passed, or after a silence.
 * 3. Only answers from central, or from the node that was asked for this blob, count.
 * 4. A node that sent wrong bytes is asked for nothing any more.
 * 5. A node is silent that brings less than a chunk that is new, or the end of a blob, in the time of a silence.
 */

/** What a download needs. */
export interface DownloadOptions {
  /** This node. */
  readonly self: string;
  /** Central. */
  readonly from: string;
  readonly store: BlobStore;
  readonly send: (to: string, message: BlobGetMessage) => Promise<unknown>;
  readonly patienceMs: readonly number[];
  readonly liars: Set<string>;
  readonly nextRequest: () => number;
  readonly on: BlobHandlers;
  readonly log: Log;
}

/** Bytes between two reports of what has come. */
const REPORT_BYTES = 128 * 1024;
/** Most blobs that are written at a time, and most bytes that wait to be written; what comes beyond them is dropped. */
const OPEN_BLOBS = 32;
const WAITING_BYTES = 8 * 1024 * 1024;

/** See above. */
export class BlobDownload {
  readonly #options: DownloadOptions;
  readonly #blobs = new Map<string, Blob>();
  readonly #sources = new Map<string, Source>();
  readonly #central: Source;
  readonly #of: number;
  /** Blobs that are checked and put into the store at the moment. */
  readonly #commits = new Set<Promise<void>>();
  #here = 0;
  #waiting = 0;
  /** Central is asked for everything itself: other nodes did not have it. */
  #isDirect = false;
  #isOver = false;
  #settle: (error?: unknown) => void = () => {};

  constructor(blobs: readonly WantedBlob[], options: DownloadOptions) {
    this.#options = options;
    this.#central = this.#source(options.from);
    for (const { sha, size } of blobs) {
      const here = options.store.arrived(sha);
      const blob = newBlob({ sha, size }, this.#central, here);
      this.#blobs.set(sha, blob);
      this.#central.blobs.add(blob);
      this.#here += here;
    }
    this.#of = blobs.reduce((sum, { size }) => sum + size, 0);
  }

  /** Throws TESSERA_BLOB, TESSERA_STORAGE; chunks that arrived are kept. */
  async run(signal: AbortSignal): Promise<void> {
    const abort = (): void => this.#settle(aborted());
    try {
      await new Promise<void>((resolve, reject) => {
        this.#settle = (error) => (error === undefined ? resolve() : reject(error));
        if (signal.aborted) return abort();
        signal.addEventListener('abort', abort, { once: true });
        this.#options.on.bytes?.(this.#here, this.#of);
        // These lack nothing but their check.
        for (const blob of this.#blobs.values())
          if (blob.here === blob.size) void this.#take(blob, 0, new Uint8Array());
        this.#ask(this.#central);
      });
    } finally {
      this.#isOver = true;
      signal.removeEventListener('abort', abort);
      for (const source of this.#sources.values()) this.#end(source);
      // A blob that is complete is stored, though others are not.
      await Promise.allSettled(this.#commits);
      for (const { writer } of this.#blobs.values()) await (await writer?.catch(() => undefined))?.abort();
    }
  }

  /** Handles a `blob-part` message; false if nothing of it was requested. */
  accept(from: string, part: BlobPartMessage): boolean {
    const source = this.#sources.get(from);
    if (source === undefined || this.#isOver) return false;
    if ('at' in part) return source === this.#central && this.#redirect(part.shas, part.at);
    const blob = this.#blobs.get(part.sha);
    if (blob === undefined || (source !== this.#central && blob.source !== source)) return false;
    if ('error' in part) this.#fault(source, `${from} cannot send blob ${part.sha}: ${part.error}`);
    else if (part.size !== blob.size || !isWhole(part))
      this.#fault(source, `${from} sent ${rangeOf(part)} of blob ${part.sha}, which has ${blob.size} bytes`);
    else {
      if (source === this.#central) heard(source);
      else blob.senders.add(from);
      // The bytes may alias a buffer of the MQTT client, and the file is written later.
      void this.#take(blob, part.offset, new Uint8Array(part.d), source);
    }
    return true;
  }

  async #take(blob: Blob, offset: number, bytes: Uint8Array, source?: Source): Promise<void> {
    const request = source?.request;
    try {
      const open = [...this.#blobs.values()].filter(({ writer }) => writer !== undefined).length;
      const mayWrite = (blob.writer !== undefined || open < OPEN_BLOBS) && this.#waiting < WAITING_BYTES;
      const whole = mayWrite ? await this.#write(blob, offset, bytes, source) : undefined;
      const isCurrent = (): boolean => source?.request === request && !this.#isOver;
      if (source !== undefined && isCurrent()) this.#report(source, bytes.byteLength);
      if (whole !== undefined && blob.opened === whole) {
        const commit = this.#commit(blob, whole);
        this.#commits.add(commit);
        await commit.finally(() => this.#commits.delete(commit));
      }
      if (source === undefined || !isCurrent()) return;
      if (offset + bytes.byteLength >= blob.end) blob.passed = true;
      if ([...source.blobs].every((one) => one.passed || gapOf(one) === undefined)) this.#again(source);
    } catch (error) {
      this.#settle(error);
    }
  }

  /** Writes bytes of a blob; returns the writer when all of the blob is here. */
  async #write(blob: Blob, offset: number, bytes: Uint8Array, source?: Source): Promise<BlobWriter | undefined> {
    this.#waiting += bytes.byteLength;
    try {
      blob.writer ??= this.#open(blob);
      const writer = await blob.writer;
      if (this.#isOver || this.#blobs.get(blob.sha) !== blob) return undefined;
      if (writer === undefined) {
        this.#stored(blob);
        return undefined;
      }
      const fresh = await writer.write(offset, bytes);
      if (blob.opened !== writer || this.#isOver) return undefined;
      this.#count(blob, writer);
      if (source !== undefined && source !== this.#central) brought(source, fresh, writer.gap === undefined);
      return writer.gap === undefined ? writer : undefined;
    } finally {
      this.#waiting -= bytes.byteLength;
    }
  }

  async #open(blob: Blob): Promise<BlobWriter | undefined> {
    const { store } = this.#options;
    // Another agent that shares the folder may have stored it meanwhile.
    if ((await store.size(blob.sha)) === blob.size) return undefined;
    const writer = await store.receive(blob.sha, blob.size);
    blob.opened = writer;
    return writer;
  }

  async #commit(blob: Blob, writer: BlobWriter): Promise<void> {
    blob.opened = undefined;
    try {
      await writer.commit();
      this.#stored(blob);
    } catch (error) {
      const { from, liars, log } = this.#options;
      if (failureOf(error).code !== 'TESSERA_BLOB' || (blob.senders.size === 0 && !blob.isResumed)) throw error;
      if (!blob.isResumed)
        for (const node of blob.senders) {
          liars.add(node);
          log.warn(`${node} sent wrong bytes of a piece of a model and is asked for no more`, { sha: blob.sha });
        }
      blob.writer = undefined;
      blob.isResumed = false;
      blob.senders.clear();
      this.#count(blob, undefined);
      log.debug(`blob ${blob.sha} is fetched again from ${from}: ${failureOf(error).message}`);
      this.#isDirect = true;
      this.#move(blob, this.#central);
      this.#ask(this.#central);
    }
  }

  #stored(blob: Blob): void {
    const { on } = this.#options;
    this.#blobs.delete(blob.sha);
    blob.source.blobs.delete(blob);
    this.#here += blob.size - blob.here;
    on.bytes?.(this.#here, this.#of);
    on.stored?.(blob.sha);
    if (blob.source.blobs.size === 0) this.#end(blob.source);
    if (this.#blobs.size === 0) this.#settle();
  }

  #count(blob: Blob, writer: BlobWriter | undefined): void {
    const here = writer === undefined ? 0 : (writer.gap?.offset ?? blob.size);
    if (here > blob.here) this.#central.isFresh = true;
    this.#here += here - blob.here;
    blob.here = here;
    this.#options.on.bytes?.(this.#here, this.#of);
  }

  #report(source: Source, bytes: number): void {
    source.got += bytes;
    if (source.got - source.reported < REPORT_BYTES) return;
    source.reported = source.got;
    this.#send(source.node, { v: 1, request: source.request, got: source.got });
  }

  /** Central names nodes that have some blobs. */
  #redirect(shas: readonly string[], at: readonly string[]): boolean {
    const { self, liars } = this.#options;
    const holders = at.filter((node) => node !== self && !liars.has(node));
    const moved = shas.map((sha) => this.#blobs.get(sha)).filter((blob) => blob?.source === this.#central);
    for (const blob of moved) this.#elsewhere(blob!, holders);
    this.#askAll(moved.map((blob) => blob!.source));
    return moved.length > 0;
  }

  /** A blob is asked of the first of these nodes; without any of central itself. */
  #elsewhere(blob: Blob, holders: readonly string[]): void {
    const [node, ...rest] = holders.filter((one) => !this.#options.liars.has(one));
    blob.holders = rest;
    if (node === undefined) this.#isDirect = true;
    this.#move(blob, node === undefined ? this.#central : this.#source(node));
  }

  #move(blob: Blob, source: Source): void {
    blob.source.blobs.delete(blob);
    blob.source = source;
    source.blobs.add(blob);
  }

  #source(node: string): Source {
    const known = this.#sources.get(node);
    if (known !== undefined) return known;
    const source = newSource(node);
    this.#sources.set(node, source);
    return source;
  }

  /** A source cannot go on: another node is left for the next one; from central there is nothing better. */
  #fault(source: Source, text: string): void {
    if (source === this.#central) {
      this.#settle(new TesseraError('TESSERA_BLOB', text));
      return;
    }
    this.#options.log.debug(text);
    this.#end(source);
    this.#sources.delete(source.node);
    const blobs = [...source.blobs];
    for (const blob of blobs) this.#elsewhere(blob, blob.holders);
    this.#askAll(blobs.map((blob) => blob.source));
  }

  #askAll(sources: readonly Source[]): void {
    for (const source of new Set(sources)) this.#ask(source);
  }

  /** Requests all that is missing of a source's blobs, in place of what it was asked for before. */
  #ask(source: Source): void {
    if (source.blobs.size === 0 || this.#isOver) return;
    const ranges: BlobRange[] = [];
    for (const blob of source.blobs) {
      const gap = gapOf(blob);
      // What does not fit into the request is asked for when the rest has passed.
      blob.passed = ranges.length === MAX_RANGES;
      if (gap === undefined || blob.passed) continue;
      blob.end = gap.offset + gap.length;
      ranges.push({ sha: blob.sha, ...gap });
    }
    Object.assign(source, { request: this.#options.nextRequest(), got: 0, reported: 0, fresh: 0, isFresh: false });
    source.heardAt = performance.now();
    const direct = source === this.#central && this.#isDirect ? ({ direct: true } as const) : {};
    this.#send(source.node, { v: 1, request: source.request, ranges, ...direct });
    this.#watch(source);
  }

  /** Everything that was requested has passed, or nothing came for long: what is missing is requested again. */
  #again(source: Source): void {
    const blob = [...source.blobs].find((one) => gapOf(one) !== undefined);
    if (blob === undefined) return;
    if (!source.isFresh) source.silences++;
    const patience = source === this.#central ? this.#options.patienceMs.length : 1;
    if (source.silences >= patience)
      this.#fault(source, `${source.node} does not answer requests for blob ${blob.sha}`);
    else this.#ask(source);
  }

  #watch(source: Source): void {
    clearTimeout(source.timer);
    const patience = this.#options.patienceMs[source.silences] ?? 0;
    const left = source.heardAt + patience - performance.now();
    source.timer = setTimeout(
      () => {
        // What came and is not written yet is no silence.
        if (this.#waiting > 0) source.heardAt = performance.now();
        if (source.heardAt + patience > performance.now()) this.#watch(source);
        else this.#again(source);
      },
      Math.max(0, left),
    );
  }

  #end(source: Source): void {
    clearTimeout(source.timer);
    if (source.blobs.size > 0) this.#send(source.node, { v: 1, request: this.#options.nextRequest(), ranges: [] });
  }

  /** A message that cannot be sent now is repeated like one that was lost. */
  #send(to: string, message: BlobGetMessage): void {
    this.#options.send(to, message).catch(() => {});
  }
}

function aborted(): TesseraError {
  return new TesseraError('TESSERA_BLOB', 'the fetch was aborted, as its plan was released');
}
