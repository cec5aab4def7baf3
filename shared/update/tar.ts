/**
 * Reads the archives that bundles are made of (bundle/archive.ts), piece by piece: POSIX ustar with files, folders and
 * symbolic links, and nothing else.
 */
export interface TarEntry {
  /** Relative, with slashes, without `.` and `..`. */
  readonly path: string;
  readonly kind: 'file' | 'folder' | 'link';
  readonly executable: boolean;
  /** Of a link. */
  readonly linkTo: string;
  /** Bytes of a file. */
  readonly size: number;
}

/** An entry's beginning, or bytes of the last file that began. */
export type TarPiece = { readonly entry: TarEntry } | { readonly bytes: Uint8Array };

const BLOCK = 512;

/**
 * Takes an archive apart.
 *
 *   header --file--> content --> padding --> header        header --zeros--> end
 *
 * 1. A path never leaves the folder that the archive is unpacked in, and no entry lies below a link.
 * 2. An archive that ends early is known as such by `end`.
 */
export class TarReader {
  #rest = new Uint8Array(0);
  /** Bytes of the open file, and of padding after it, that are still to come. */
  #content = 0;
  #padding = 0;
  #isOver = false;
  readonly #links = new Set<string>();

  /** The pieces that these bytes complete. Throws an `Error` with what is wrong. */
  *take(bytes: Uint8Array): Generator<TarPiece> {
    let at = 0;
    let input = bytes;
    while (!this.#isOver) {
      if (this.#content > 0) {
        const some = input.subarray(at, at + this.#content);
        if (some.byteLength === 0) return;
        at += some.byteLength;
        this.#content -= some.byteLength;
        yield { bytes: some };
        continue;
      }
      const skipped = Math.min(this.#padding, input.byteLength - at);
      at += skipped;
      this.#padding -= skipped;
      if (this.#rest.byteLength > 0 || input.byteLength - at < BLOCK) {
        const joined = new Uint8Array(this.#rest.byteLength + input.byteLength - at);
        joined.set(this.#rest);
        joined.set(input.subarray(at), this.#rest.byteLength);
        this.#rest = new Uint8Array(0);
        [input, at] = [joined, 0];
      }
      if (input.byteLength < BLOCK || this.#padding > 0) {
        this.#rest = input.slice(at);
        return;
      }
      const header = input.subarray(at, at + BLOCK);
      at += BLOCK;
      const entry = this.#read(header);
      if (entry === undefined) this.#isOver = true;
      else yield { entry };
    }
  }

  /** Throws an `Error` unless the archive is complete. */
  end(): void {
    if (!this.#isOver) throw new Error('the archive ends early');
  }

  #read(header: Uint8Array): TarEntry | undefined {
    if (header.every((byte) => byte === 0)) return undefined;
    const field = (at: number, width: number): string => {
      const bytes = header.subarray(at, at + width);
      const end = bytes.indexOf(0);
      return new TextDecoder().decode(end === -1 ? bytes : bytes.subarray(0, end));
    };
    const octal = (at: number, width: number): number => {
      const text = field(at, width).trim();
      if (!/^[0-7]+$/.test(text)) throw new Error('the archive is damaged: a number is none');
      return Number.parseInt(text, 8);
    };
    const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 32 : byte), 0);
    if (field(257, 5) !== 'ustar' || octal(148, 8) !== sum)
      throw new Error('the archive is damaged: not a ustar header');
    const [name, prefix, type] = [field(0, 100), field(345, 155), field(156, 1)];
    const path = (prefix === '' ? name : `${prefix}/${name}`).replace(/\/$/, '');
    const kind = ({ '0': 'file', '2': 'link', '5': 'folder' } as const)[type];
    const words = path.split('/');
    if (kind === undefined || words.some((word) => word === '' || word === '.' || word === '..'))
      throw new Error(`the archive has an entry that no bundle has: ${JSON.stringify(path.slice(0, 200))}`);
    for (let i = 1; i < words.length; i++)
      if (this.#links.has(words.slice(0, i).join('/'))) throw new Error(`an entry lies below a link: ${path}`);
    if (kind === 'link') this.#links.add(path);
    const size = kind === 'file' ? octal(124, 12) : 0;
    this.#content = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
    return { path, kind, executable: (octal(100, 8) & 0o111) !== 0, linkTo: field(157, 100), size };
  }
}
