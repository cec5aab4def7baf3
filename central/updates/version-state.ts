import type { UpdateManifest, UpdateReport, VersionState } from '../../shared/protocol/messages/update.ts';

const BUSY: readonly UpdateReport['state'][] = ['downloading', 'testing', 'switching', 'trial'];

/** The version that a node runs, and the one that is announced for it. */
export function versionStateOf(
  id: string,
  installed: string,
  report: UpdateReport | undefined,
  manifest: UpdateManifest | undefined,
): VersionState {
  const { state = 'idle', bytes, of } = report ?? {};
  // An agent that cannot be updated by itself is never behind.
  const isMeant =
    report !== undefined &&
    manifest?.action === 'install' &&
    manifest.nodes?.includes(id) !== false &&
    !manifest.paused;
  return {
    v: 1,
    installed_version: installed,
    latest_version: isMeant ? manifest.version : installed,
    in_progress: BUSY.includes(state),
    update_percentage: bytes === undefined || of === undefined ? null : 10 * Math.floor((10 * bytes) / of),
  };
}
