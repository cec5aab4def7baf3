import { type CentralStatus, centralStatus } from './messages/central.ts';

/** Longest text of a status that is looked at, bytes. */
const MAX_BYTES = 4096;

/** What a central says of itself, on its status or heartbeat topic; undefined for anything else. */
export function readCentralStatus(payload: Uint8Array): CentralStatus | undefined {
  if (payload.byteLength > MAX_BYTES) return undefined;
  try {
    const status = centralStatus.safeParse(JSON.parse(new TextDecoder().decode(payload)));
    return status.success ? status.data : undefined;
  } catch {
    return undefined;
  }
}
