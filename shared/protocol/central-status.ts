import { type CentralStatus, centralStatus } from './messages/central.ts';

/** Longest status that is read, bytes. */
const MAX_BYTES = 4096;

/** Parses the state of a central from its status or heartbeat topic; undefined for anything else. */
export function readCentralStatus(payload: Uint8Array): CentralStatus | undefined {
  if (payload.byteLength > MAX_BYTES) return undefined;
  try {
    const status = centralStatus.safeParse(JSON.parse(new TextDecoder().decode(payload)));
    return status.success ? status.data : undefined;
  } catch {
    return undefined;
  }
}
