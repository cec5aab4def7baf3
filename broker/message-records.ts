import { crc32 } from 'node:zlib';

/**
 * The record of a stored message in a file, numbers big-endian:
 *
 *   record = "TKF1" length:u32 check:u32 state:u8 body
 *   body   = number:u48 time:u48 messageId:u16 topicLength:u16 topic payload      (`length` bytes, CRC-32 `check`)
 *
 * The state is the only byte that changes later. It is written in place, which takes no space: on a full disk, too, a
 * message can be marked as sent or done.
 */

/** State of a message: not yet sent, sent and perhaps received, or acknowledged or dropped. */
export type RecordState = 'stored' | 'sent' | 'done';

/** A message to be stored. */
export interface MessageRecord {
  /** Increases from one message to the next. */
  readonly number: number;
  /** When it arrived, Unix ms. */
  readonly time: number;
  /** The publisher's packet identifier. */
  readonly messageId: number;
  readonly topic: string;
  readonly payload: Buffer;
}

/** A record read from a file; `payload` is a view of the bytes read. */
export interface StoredRecord extends MessageRecord {
  readonly state: RecordState;
  /** Where the record begins, and its length, bytes. */
  readonly offset: number;
  readonly length: number;
  /** CRC-32 of topic and payload, as `checksumOf`. */
  readonly check: number;
}

const MAGIC = 0x544b4631;
const HEAD_BYTES = 13;
const BODY_HEAD_BYTES = 16;
/** Offset of the state in a record. */
export const STATE_OFFSET = 12;
/** The states as bytes. */
export const STATE_BYTES: Readonly<Record<RecordState, number>> = { stored: 0x6e, sent: 0x73, done: 0x64 };
const STATES = new Map(Object.entries(STATE_BYTES).map(([state, byte]) => [byte, state as RecordState]));

/** CRC-32 continued from `before`. Node's own restarts for empty bytes without an address. */
const crcOn = (bytes: Buffer, before: number): number => (bytes.length === 0 ? before : crc32(bytes, before));

/** CRC-32 of topic and payload, by which, with the packet identifier, a repetition is recognised. */
export const checksumOf = ({ topic, payload }: Pick<MessageRecord, 'topic' | 'payload'>): number =>
  crcOn(payload, crc32(topic));

/** The bytes before the payload of a record in state `stored`; the payload follows as it is. */
export function recordHead({ number, time, messageId, topic, payload }: MessageRecord): Buffer {
  const name = Buffer.from(topic);
  const head = Buffer.alloc(HEAD_BYTES + BODY_HEAD_BYTES + name.length);
  let at = HEAD_BYTES;
  at = head.writeUIntBE(number, at, 6);
  at = head.writeUIntBE(Math.max(0, Math.round(time)), at, 6);
  at = head.writeUInt16BE(messageId, at);
  at = head.writeUInt16BE(name.length, at);
  name.copy(head, at);
  const body = head.subarray(HEAD_BYTES);
  head.writeUInt32BE(MAGIC, 0);
  head.writeUInt32BE(body.length + payload.length, 4);
  head.writeUInt32BE(crcOn(payload, crc32(body)), 8);
  head.writeUInt8(STATE_BYTES.stored, STATE_OFFSET);
  return head;
}

/**
 * The records of a file, and how many bytes at its end are no whole record: a power cut leaves those of an unfinished
 * write. Nothing is searched for behind them, because a payload may contain anything.
 */
export function readRecords(bytes: Buffer): { readonly records: StoredRecord[]; readonly torn: number } {
  const records: StoredRecord[] = [];
  let at = 0;
  for (;;) {
    const record = readRecord(bytes, at);
    if (record === undefined) return { records, torn: bytes.length - at };
    records.push(record);
    at += record.length;
  }
}

function readRecord(bytes: Buffer, offset: number): StoredRecord | undefined {
  if (bytes.length - offset < HEAD_BYTES + BODY_HEAD_BYTES || bytes.readUInt32BE(offset) !== MAGIC) return undefined;
  const bodyBytes = bytes.readUInt32BE(offset + 4);
  const state = STATES.get(bytes[offset + STATE_OFFSET]!);
  const begin = offset + HEAD_BYTES;
  if (state === undefined || bodyBytes < BODY_HEAD_BYTES || bytes.length - begin < bodyBytes) return undefined;
  const body = bytes.subarray(begin, begin + bodyBytes);
  if (crc32(body) !== bytes.readUInt32BE(offset + 8)) return undefined;
  const topicEnd = BODY_HEAD_BYTES + body.readUInt16BE(14);
  if (topicEnd > body.length) return undefined;
  const topic = body.toString('utf8', BODY_HEAD_BYTES, topicEnd);
  const payload = body.subarray(topicEnd);
  return {
    number: body.readUIntBE(0, 6),
    time: body.readUIntBE(6, 6),
    messageId: body.readUInt16BE(12),
    topic,
    payload,
    state,
    offset,
    length: HEAD_BYTES + bodyBytes,
    check: checksumOf({ topic, payload }),
  };
}
