import { failureOf } from '../../shared/errors.ts';
import type { OfferedRelease, UpdateManifest } from '../../shared/protocol/messages/update.ts';
import { archiveOf, type Release } from '../../shared/update/release.ts';
import { compareVersions } from '../../shared/update/version-order.ts';

/** What a node knows of itself when it looks at an announcement. */
export interface Standing {
  readonly id: string;
  /** The version that runs. */
  readonly running: string;
  /** As `linux-arm64`. */
  readonly platform: string;
  /** The version that a roll-back leads to. */
  readonly previous: string | undefined;
  /** The oldest version that may run here. */
  readonly minimum: string;
  /** A version that is not tried again while the announcement of that time stands. */
  readonly failed: { readonly version: string; readonly why: string; readonly since: number } | undefined;
}

/** What a node is to do about an announcement. */
export type Aim =
  | { readonly kind: 'none' }
  | { readonly kind: 'refused' | 'failed'; readonly to: string; readonly text: string }
  | { readonly kind: 'rollback'; readonly to: string }
  | {
      readonly kind: 'install';
      readonly to: string;
      readonly url: string;
      readonly sha256: string;
      /** The oldest version that may run here once this one is kept. */
      readonly minimum: string;
    };

/** Decides it; `check` returns the release that was signed, or throws why it is refused. */
export function aimOf(
  { action, version, releases, nodes, since }: UpdateManifest,
  standing: Standing,
  check: (offered: OfferedRelease) => Release,
): Aim {
  const { id, running, platform, previous, minimum, failed } = standing;
  if (nodes !== undefined && !nodes.includes(id)) return { kind: 'none' };
  if ((action === 'install') === (running === version)) return { kind: 'none' };
  const to = action === 'install' ? version : previous;
  const refused = (text: string): Aim => ({ kind: 'refused', to: to ?? version, text });
  if (to === undefined) return refused('no earlier version is kept here');
  if (failed?.version === to && failed.since === since) return { kind: 'failed', to, text: failed.why };
  if (action === 'rollback') return isOlder(to, minimum) ?? { kind: 'rollback', to };
  const offered = releases[platform];
  if (offered === undefined) return refused(`there is no release for ${platform}`);
  let release: Release;
  try {
    release = check(offered);
  } catch (error) {
    return refused(failureOf(error).message);
  }
  if (release.version !== version || release.platform !== platform)
    return refused(`the release is ${release.version} for ${release.platform}, not ${version} for ${platform}`);
  const sha256 = release.files.get(archiveOf(release))!;
  const later = compareVersions(release.minimum, minimum) > 0 ? release.minimum : minimum;
  return isOlder(to, minimum) ?? { kind: 'install', to, url: offered.url, sha256, minimum: later };
}

function isOlder(to: string, minimum: string): Aim | undefined {
  if (compareVersions(to, minimum) >= 0) return undefined;
  return { kind: 'refused', to, text: `${to} is older than ${minimum}, the oldest version that may run here` };
}
