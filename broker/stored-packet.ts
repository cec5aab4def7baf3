import type { Numbering } from './aedes-parts.ts';
import type { QueuedMessage } from './persistent-session.ts';

/** A message with QoS 1 as Aedes stores it for a session. */
export interface StoredPacket extends QueuedMessage {
  readonly cmd: 'publish';
  readonly brokerId: string;
  readonly qos: 1;
  readonly retain: false;
}

/** A message for a session, under the number `brokerCounter` of this broker. */
export function storedPacket({ id }: Numbering, brokerCounter: number, topic: string, payload: Buffer): StoredPacket {
  return { cmd: 'publish', brokerId: id, brokerCounter, topic, payload, qos: 1, retain: false, dup: false };
}

/** The bytes of a payload in a buffer of their own: a payload read from a socket keeps a larger buffer in memory. */
export function ownBytes(payload: string | Buffer): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (bytes.buffer.byteLength <= 2 * bytes.length) return bytes;
  const own = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(own);
  return own;
}
