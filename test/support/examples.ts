import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** An example of docs/protocol.md. */
export interface Example {
  /** Name as in `tessera schema NAME`. */
  readonly schema: string;
  readonly value: unknown;
  readonly line: number;
}

/** Where a file of the repository lies. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** A repository file as text. */
export function repositoryFile(path: string): string {
  return readFileSync(repositoryPath(path), 'utf8');
}

/** The documents of the repository: those at its root, and all of docs/. */
export function markdownFiles(): string[] {
  const at = (folder: string) => readdirSync(repositoryPath(folder), { recursive: folder !== '.', encoding: 'utf8' });
  const docs = at('docs').map((file) => `docs/${file}`);
  return [...at('.'), ...docs].filter((file) => file.endsWith('.md')).sort();
}

/** Every block of a Markdown file that is fenced as ```json schema=NAME; byte strings are written `h'0a0b'`. */
export function examplesOf(path: string): Example[] {
  const text = repositoryFile(path);
  return [...text.matchAll(/^```json schema=(\S+)\n([\s\S]*?)^```$/gm)].map((match) => ({
    schema: match[1]!,
    value: withBytes(JSON.parse(match[2]!)),
    line: text.slice(0, match.index).split('\n').length,
  }));
}

/** A fenced block of a document. */
export interface Block {
  readonly language: string;
  /** What stands behind the language, as `by-hand` or `file=NAME`; readers do not see it. */
  readonly words: readonly string[];
  readonly text: string;
}

/** All fenced blocks of a Markdown file, in order. */
export function blocksOf(path: string): Block[] {
  return [...repositoryFile(path).matchAll(/^```(\S+)(.*)\n([\s\S]*?)^```$/gm)].map(([, language, words, text]) => ({
    language: language!,
    words: words!.trim().split(' '),
    text: text!,
  }));
}

/** JSON with byte strings in CBOR's diagnostic notation (RFC 8949 section 8), `h'0a0b'`, as bytes. */
export function withBytes(value: unknown): unknown {
  if (typeof value === 'string') {
    const hex = /^h'((?:[0-9a-f]{2})*)'$/.exec(value)?.[1];
    return hex === undefined ? value : Uint8Array.from(Buffer.from(hex, 'hex'));
  }
  if (Array.isArray(value)) return value.map(withBytes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withBytes(item)]));
}
