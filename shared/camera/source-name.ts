/** Where a camera's pictures come from. */
export type SourceName =
  | { readonly kind: 'rtsp'; readonly url: URL }
  | { readonly kind: 'http'; readonly url: URL }
  /** A USB camera (Video4Linux). */
  | { readonly kind: 'usb'; readonly device: string }
  /** A camera at the board's own connector (Raspberry Pi), by its number. */
  | { readonly kind: 'rpicam'; readonly number: number }
  | { readonly kind: 'topic'; readonly topic: string }
  | { readonly kind: 'synthetic' }
  | { readonly kind: 'stdin' }
  /** A folder of pictures, a picture, a video, or a named pipe of JPEGs. */
  | { readonly kind: 'path'; readonly path: string };

/** What a source may be, for messages. */
export const SOURCES =
  'rtsp://..., http://... (MJPEG or a snapshot), /dev/video0, rpicam, mqtt:TOPIC, synthetic, a folder, a video, a picture, or a named pipe of JPEGs';

/** Parses the name of a source; a text says what is wrong with it, without passwords. */
export function parseSource(text: string): SourceName | string {
  if (text === '') return 'it is empty';
  if (text === '-') return { kind: 'stdin' };
  if (text === 'synthetic') return { kind: 'synthetic' };
  const rpicam = /^rpicam(?::(\d))?$/.exec(text);
  if (rpicam !== null) return { kind: 'rpicam', number: Number(rpicam[1] ?? 0) };
  if (text.startsWith('mqtt:') && !text.startsWith('mqtt://')) return parseTopic(text.slice('mqtt:'.length));
  if (text.startsWith('/dev/video') || text.startsWith('/dev/v4l/')) return { kind: 'usb', device: text };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: 'path', path: text };
  return parseUrl(text, scheme);
}

function parseTopic(topic: string): SourceName | string {
  const isTopic = topic !== '' && !/[+#\0]/.test(topic) && topic.length <= 1024;
  return isTopic ? { kind: 'topic', topic } : 'after mqtt: comes a topic without wildcards';
}

function parseUrl(text: string, scheme: string): SourceName | string {
  const kind = { rtsp: 'rtsp', rtsps: 'rtsp', http: 'http', https: 'http' }[scheme] as 'rtsp' | 'http' | undefined;
  if (kind === undefined) return `${scheme}:// is not read`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === '')
    return 'it is no URL; write / : @ ? # and % in passwords as %2F %3A %40 %3F %23 and %25';
  return { kind, url };
}

/** Names in queries whose values are secrets, whatever their form. */
const SECRET_NAME = /pass|pwd|token|secret|auth|key/i;
/** Shorter parts of paths and queries are ordinary words and numbers, which say nothing where they stand alone. */
const LEAST_SECRET = 6;

/**
 * What may be secret in a source's URL, as it may appear in what its programs say, longer texts first: the password, and
 * all that comes after the host, since nobody knows which part of it a camera takes for a password.
 */
export function secretsOf(source: SourceName): string[] {
  if (!('url' in source)) return [];
  const { password, pathname, search, searchParams } = source.url;
  const named = [...searchParams].flatMap(([name, value]) => (SECRET_NAME.test(name) ? [value] : []));
  const path = pathname.slice(1);
  const parts = [`${path}${search}`, path, ...path.split(/[/_;]/), ...path.split(/[/_;=]/), ...searchParams.values()];
  const long = parts.filter((part) => part.length >= LEAST_SECRET);
  const all = [password, ...named, ...long].flatMap((one) => [one, decoded(one), encodeURIComponent(decoded(one))]);
  return [...new Set(all)].filter((one) => one !== '').sort((a, b) => b.length - a.length);
}

/** A part of a URL without its percent signs; as it is where they mean nothing. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
