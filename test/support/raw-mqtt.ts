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
