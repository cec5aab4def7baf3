/**
 * Archives whose bytes depend on their content alone: entries sorted by name, one time for all, owner root, two modes.
 *
 *     tar (POSIX ustar): for each entry a header of 512 bytes and the content padded to 512; at the end 1024 zeros
 *     ar: "!<arch>\n", for each member a header of 60 characters and the content padded to 2
 */

/** A file, or a symbolic link, in an archive. `path` is relative, with slashes. */
export interface Entry {
  readonly path: string;
  readonly content: Uint8Array | { readonly linkTo: string };
  readonly executable?: boolean;
}

const BLOCK = 512;
/** Longest name and prefix of a ustar header, bytes. */
const [NAME, PREFIX] = [100, 155] as const;

const padded = (size: number, unit: number): number => Math.ceil(size / unit) * unit;

/** Header and padding of each entry as a sequence of pieces; folders stand before what lies in them. `time`: Unix seconds. */
export function* tar(entries: readonly Entry[], time: number): Generator<Uint8Array> {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : 1));
  const folders = new Set<string>();
  for (const { path, content, executable = false } of sorted) {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const folder = path.slice(0, at + 1);
      if (!folders.has(folder)) yield header({ path: folder, type: '5', mode: 0o755, size: 0, linkTo: '', time });
      folders.add(folder);
    }
    if (!(content instanceof Uint8Array)) {
      yield header({ path, type: '2', mode: 0o777, size: 0, linkTo: content.linkTo, time });
      continue;
    }
    const { byteLength: size } = content;
    yield header({ path, type: '0', mode: executable ? 0o755 : 0o644, size, linkTo: '', time });
    yield content;
    yield new Uint8Array(padded(size, BLOCK) - size);
  }
  yield new Uint8Array(2 * BLOCK);
}

interface Header {
  readonly path: string;
  /** 0: file, 2: symbolic link, 5: folder. */
  readonly type: '0' | '2' | '5';
  readonly mode: number;
  readonly size: number;
  readonly linkTo: string;
  readonly time: number;
}

function header({ path, type, mode, size, linkTo, time }: Header): Uint8Array {
  const { name, prefix } = split(path);
  const bytes = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    bytes.write(value.toString(8).padStart(width - 1, '0'), at);
  };
  bytes.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(time, 136, 12);
  bytes.write(' '.repeat(8), 148);
  bytes.write(type, 156);
  bytes.write(linkTo, 157);
  bytes.write('ustar\0' + '00', 257);
  bytes.write('root', 265);
  bytes.write('root', 297);
  bytes.write(prefix, 345);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return bytes;
}

/** A path as name and prefix, which a reader joins with a slash. */
function split(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= NAME) return { name: path, prefix: '' };
  const at = path.indexOf('/', path.length - NAME - 1);
  const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
  if (at <= 0 || prefix.length > PREFIX || name === '') throw new RangeError(`too long for a tar archive: ${path}`);
  return { name, prefix };
}

/** An `ar` archive; members keep their order, as in a Debian package. `time`: Unix seconds. */
export function ar(members: readonly { readonly name: string; readonly content: Uint8Array }[], time: number): Buffer {
  const parts: Uint8Array[] = [Buffer.from('!<arch>\n')];
  for (const { name, content } of members) {
    const { byteLength: size } = content;
    const fields = [name.padEnd(16), `${time}`.padEnd(12), '0     ', '0     ', '100644  ', `${size}`.padEnd(10)];
    parts.push(Buffer.from(`${fields.join('')}\`\n`), content);
    if (size % 2 === 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}
