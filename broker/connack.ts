/** CONNACK with return code 2, identifier rejected (MQTT-3.1.3-8). */
export const NO_CLIENT_ID = Buffer.from([0x20, 2, 0, 2]);

/**
 * The answer to a client that speaks MQTT 5, which Aedes would answer in 3.1.1: a CONNACK of MQTT 5 (section 3.2) with
 * reason 132, unsupported version. Where a persistent session of this client would expire after `keptSec`, the property
 * Session Expiry Interval says so; the client may then ask for one in 3.1.1.
 */
export function versionRefusal(keptSec: number): Buffer {
  if (keptSec === 0) return Buffer.from([0x20, 3, 0, 132, 0]);
  const packet = Buffer.from([0x20, 8, 0, 132, 5, 0x11, 0, 0, 0, 0]);
  packet.writeUInt32BE(keptSec, 6);
  return packet;
}
