import { CHUNK_BYTES } from '../shared/node/blob-turns.ts';
import type { BlobWriter } from '../shared/ports.ts';
import type { BlobPartMessage } from '../shared/protocol/messages/blob.ts';

/** What a download (blob-download.ts) knows of its blobs, and of those who send them. */

/** A blob that a manifest names. */
export interface WantedBlob {
  readonly sha: string;
  readonly size: number;
}

/** A blob on its way. */
export interface Blob extends WantedBlob {
  source: Source;
  /** Nodes that have it and were not asked yet. */
  holders: readonly string[];
  /** Nodes besides central that bytes came from. */
  readonly senders: Set<string>;
  /** Undefined: it was stored by another process meanwhile. */
  writer: Promise<BlobWriter | undefined> | undefined;
  opened: BlobWriter | undefined;
  /** Bytes that are here, without a gap. */
  here: number;
  /** Whether its first bytes are from an interrupted download. */
  isResumed: boolean;
  /** The end of the requested range, and whether the range has passed. */
  end: number;
  passed: boolean;
}

/** Central, or a node that blobs are requested from. */
export interface Source {
  readonly node: string;
  readonly blobs: Set<Blob>;
  request: number;
  got: number;
  reported: number;
  /** Bytes that were new, since it was heard. */
  fresh: number;
  heardAt: number;
  /** Silences since something useful came. */
  silences: number;
  /** Whether anything new came since the last request. */
  isFresh: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** A blob of which the first `here` bytes are left from an interrupted download. */
export function newBlob({ sha, size }: WantedBlob, source: Source, here: number): Blob {
  const nothing = { writer: undefined, opened: undefined, passed: false, end: size };
  return { sha, size, source, holders: [], senders: new Set(), here, isResumed: here > 0, ...nothing };
}

/** A source that nothing was requested from. */
export function newSource(node: string): Source {
  const nothing = {
    request: 0,
    got: 0,
    reported: 0,
    fresh: 0,
    heardAt: 0,
    silences: 0,
    isFresh: false,
    timer: undefined,
  };
  return { node, blobs: new Set(), ...nothing };
}

/** A source sent something, so it is not silent. */
export function heard(source: Source): void {
  source.heardAt = performance.now();
  source.silences = 0;
}

/** A node brought bytes that are new, and perhaps the end of a blob. */
export function brought(source: Source, fresh: number, isEnd: boolean): void {
  source.fresh += fresh;
  if (source.fresh < CHUNK_BYTES && !(isEnd && fresh > 0)) return;
  source.fresh = 0;
  source.isFresh = true;
  heard(source);
}

/** The first range that is missing of a blob; undefined where all is here, and perhaps being checked. */
export function gapOf({ opened, here, size }: Blob): { readonly offset: number; readonly length: number } | undefined {
  if (opened !== undefined) return opened.gap;
  return here === size ? undefined : { offset: here, length: size - here };
}

/** A `blob-part` with bytes. */
export type Piece = Extract<BlobPartMessage, { readonly d: Uint8Array }>;

/** Whether a piece ends where pieces end: at a multiple of CHUNK_BYTES, or with the blob. */
export function isWhole({ size, offset, d }: Piece): boolean {
  const end = offset + d.byteLength;
  return end === size || (end < size && end % CHUNK_BYTES === 0);
}

/** The range of a piece in words. */
export function rangeOf({ size, offset, d }: Piece): string {
  return `bytes ${offset} to ${offset + d.byteLength} of ${size}`;
}
