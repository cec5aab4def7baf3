/** MQTT 3.1.1 packets as bytes, for clients that misbehave in ways no library offers. */

const text = (value: string) => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
};

function packet(head: number, ...body: Uint8Array[]): Buffer {
  const rest = Buffer.concat(body);
  const digits: number[] = [];
  for (let left = rest.length; digits.length === 0 || left > 0; left = Math.floor(left / 128)) {
    digits.push((left % 128) + (left >= 128 ? 128 : 0));
  }
  return Buffer.concat([Buffer.from([head, ...digits]), rest]);
}

/** CONNECT with a clean session and without keep-alive. */
export const connectPacket = (clientId: string): Buffer =>
  packet(0x10, text('MQTT'), Uint8Array.of(4, 2, 0, 0), text(clientId));

/** SUBSCRIBE to one filter with QoS 0. */
export const subscribePacket = (filter: string): Buffer =>
  packet(0x82, Uint8Array.of(0, 1), text(filter), Uint8Array.of(0));

/** PUBLISH with QoS 0. */
export const publishPacket = (topic: string, payload: Uint8Array, retain = false): Buffer =>
  packet(retain ? 0x31 : 0x30, text(topic), payload);

/** PUBLISH with QoS 1. */
export const publishPacketQos1 = (topic: string, payload: Uint8Array, id: number, dup = false): Buffer =>
  packet(dup ? 0x3a : 0x32, text(topic), Uint8Array.of(id >> 8, id & 0xff), payload);

/** The packet identifiers of the PUBACKs that `bytes` begins with, and how many bytes those are. */
export function pubackIds(bytes: Buffer): { readonly ids: number[]; readonly bytes: number } {
  const ids: number[] = [];
  while (bytes.length >= 4 * (ids.length + 1) && bytes[4 * ids.length] === 0x40)
    ids.push(bytes.readUInt16BE(4 * ids.length + 2));
  return { ids, bytes: 4 * ids.length };
}
