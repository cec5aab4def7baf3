import { compareVersions, isVersion } from './version-order.ts';

/**
 * A release for one platform, as its signed text describes it: the file `<name>.sha256` of a bundle.
 *
 *     # tessera <version> <platform>, minimum <version>
 *     <SHA-256 in hex>  tessera-<version>-<platform>.tar.zst
 *     <SHA-256 in hex>  tessera-<version>-<platform>.deb
 *
 * `sha256sum -c` skips the first line.
 */
export interface Release {
  readonly version: string;
  /** As `linux-arm64`. */
  readonly platform: string;
  /** The oldest version that a machine may still run once it has seen this release. */
  readonly minimum: string;
  /** SHA-256 of each file in hex, by its name. */
  readonly files: ReadonlyMap<string, string>;
}

/** Longest text of a release, characters. */
export const MAX_RELEASE_TEXT = 2048;

/** The name of a release's files, without their endings. */
export function releaseName(version: string, platform: string): string {
  return `tessera-${version}-${platform}`;
}

/** The text that is signed. */
export function releaseText({ version, platform, minimum, files }: Release): string {
  const lines = [...files].map(([file, sha]) => `${sha}  ${file}\n`);
  return `# tessera ${version} ${platform}, minimum ${minimum}\n${lines.join('')}`;
}

/** Reads the text of a release; a string says what is wrong with it. */
export function readRelease(text: string): Release | string {
  if (text.length > MAX_RELEASE_TEXT) return `it has more than ${MAX_RELEASE_TEXT} characters`;
  const [head = '', ...rest] = text.split('\n');
  const said = /^# tessera (\S+) (linux-[a-z0-9]+), minimum (\S+)$/.exec(head);
  if (said === null) return 'its first line does not name version, platform and minimum';
  const [, version = '', platform = '', minimum = ''] = said;
  if (!isVersion(version) || !isVersion(minimum)) return 'it names no version such as 1.2.3';
  if (compareVersions(version, minimum) < 0) return `its version ${version} is older than its minimum ${minimum}`;
  const files = new Map<string, string>();
  for (const line of rest.slice(0, -1)) {
    const [, sha, file] = /^([0-9a-f]{64}) {2}([A-Za-z0-9._-]+)$/.exec(line) ?? [];
    if (sha === undefined || file === undefined) return 'a line is no SHA-256 with a file name';
    files.set(file, sha);
  }
  if (rest.at(-1) !== '' || !files.has(archiveOf({ version, platform }))) return 'it names no archive';
  return { version, platform, minimum, files };
}

/** The file name of a release's archive. */
export function archiveOf({ version, platform }: Pick<Release, 'version' | 'platform'>): string {
  return `${releaseName(version, platform)}.tar.zst`;
}
