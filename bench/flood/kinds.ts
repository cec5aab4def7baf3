/** What it floods with. */
export const FLOOD_KINDS = ['result', 'part', 'garbage', 'ready', 'blob-get', 'heartbeat', 'info', 'status'] as const;
/** What it floods with. */
export type FloodKind = (typeof FLOOD_KINDS)[number];
