import {
  Document,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  parseDocument,
  visit,
  type YAMLSeq,
  type Node as YamlNode,
} from 'yaml';
import { type ErrorCode, TesseraError } from '../errors.ts';

/** The `yaml` package, imported here and nowhere else. */

/** Path of a field in a document: keys and indices from the top. */
export type FieldPath = readonly (string | number)[];

/**
 * Reads one YAML 1.2 document into plain data; an empty document is null. `where` names the file in errors.
 * Throws TesseraError with `code` and the line and column of the first fault, for duplicate keys and unknown tags too.
 * Aliases are expanded at most 100 times, so that a small file cannot become a large value, and nesting is
 * bounded: the library recurses, and V8 ends the whole process when a regular expression is compiled at the stack's end.
 */
export function parseYaml(text: string, where: string, code: ErrorCode): unknown {
  const document = open(text, where, code);
  try {
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    JSON.stringify(value); // an anchor that contains itself would hang code that traverses the value
    return value;
  } catch (error) {
    const said = (error as Error).message.split('\n')[0]!;
    const problem = said.includes('circular') ? 'an anchor (`&name`) holds an alias (`*name`) of itself' : said;
    throw new TesseraError(code, `${where}: ${problem}`, {
      hint: 'Write out what the alias stands for, or let it stand outside of its anchor.',
      cause: error,
    });
  }
}

/** Deepest nesting of collections in brackets, and of those by indentation. */
const MAX_BRACKETS = 64;
const MAX_INDENT = 128;

/**
 * Whether collections nest too deep, judged from the text, since the library recurses. An indented collection begins at
 * least one column or one indicator after its parent.
 */
function isTooDeep(text: string): boolean {
  let brackets = 0;
  let indent = 0;
  let atStart = true;
  for (const word of new Lexer().lex(text)) {
    if (word === '[' || word === '{') brackets++;
    else if (word === ']' || word === '}') brackets = Math.max(0, brackets - 1);
    else if (/^\r?\n$/.test(word)) {
      indent = 0;
      atStart = true;
      continue;
    } else if (atStart && /^ +$/.test(word)) indent = word.length;
    else if (brackets === 0 && (word === '-' || word === '?' || word === ':')) {
      indent++;
      if (indent > MAX_INDENT) return true;
    }
    atStart = false;
    if (brackets > MAX_BRACKETS) return true;
  }
  return false;
}

const FIX = 'Correct the YAML at that line; indentation is by spaces, and text with ": " or "#" in it needs quotes.';

/** Faults with a plainer name than the library's, and their own hints. */
const FAULTS: Readonly<Record<string, { readonly problem?: string; readonly hint: string }>> = {
  MULTIPLE_DOCS: {
    problem: 'a second document begins here',
    hint: 'A file is one YAML document: leave out what follows `---`, or put it into a file of its own.',
  },
  TAB_AS_INDENT: { problem: 'the line is indented by a tab', hint: 'Indent by spaces: YAML allows no tabs there.' },
  DUPLICATE_KEY: { hint: 'Each key stands once: keep one of them, or put what is below them together.' },
};

function open(text: string, where: string, code: ErrorCode) {
  if (isTooDeep(text))
    throw new TesseraError(code, `${where}: it nests deeper than anything that Tessera reads`, {
      hint: 'The file is damaged, or another one.',
    });
  const document = parseDocument(text, { prettyErrors: true, uniqueKeys: true, stringKeys: true });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) {
    const at = fault.linePos?.[0];
    const place = at === undefined ? where : `${where}:${at.line}:${at.col}`;
    const said = fault.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, '');
    const { problem = said, hint } = FAULTS[fault.code] ?? { hint: FIX };
    throw new TesseraError(code, `${place}: ${problem}`, { hint, cause: fault });
  }
  return document;
}

/** Lists of plain values are written in one line, as people do. */
function inOneLine(_: unknown, sequence: YAMLSeq): void {
  if (sequence.items.every((item) => isScalar(item)) && sequence.items.length <= 16) sequence.flow = true;
}

/**
 * Writes plain data as YAML. `comments` adds a comment after the line of a field, `heading` one before the first line.
 */
export function stringifyYaml(
  value: unknown,
  options: {
    readonly heading?: string;
    readonly comments?: readonly { readonly path: FieldPath; readonly text: string }[];
  } = {},
): string {
  const document = new Document(value);
  visit(document, { Seq: inOneLine });
  for (const { path, text } of options.comments ?? []) {
    const node = document.getIn(path, true) as YamlNode | undefined;
    if (node !== undefined) node.comment = ` ${text}`;
  }
  if (options.heading !== undefined) document.commentBefore = options.heading.replace(/^/gm, ' ');
  return document.toString({ lineWidth: 120, flowCollectionPadding: false });
}

/** Paths of the fields with a comment that begins with `text`, as `stringifyYaml` writes it. */
export function commentedFields(yaml: string, text: string): string[] {
  const found: string[] = [];
  const walk = (node: unknown, path: string): void => {
    if ((node as YamlNode | null)?.comment?.trim().startsWith(text)) found.push(path);
    if (isMap(node)) for (const { key, value } of node.items) walk(value, path === '' ? `${key}` : `${path}.${key}`);
    else if (isSeq(node)) for (const item of node.items) walk(item, path);
  };
  walk(parseDocument(yaml).contents, '');
  return found;
}

/**
 * The text of a document with one top-level field replaced, and everything else (comments, order, spelling) unchanged;
 * a new field goes to the end. Throws TesseraError with `code`, as `parseYaml` does.
 */
export function withField(yaml: string, key: string, value: unknown, where: string, code: ErrorCode): string {
  const document = open(yaml, where, code);
  if (document.contents !== null && !isMap(document.contents))
    throw new TesseraError(code, `${where}: it is a list or a value, not fields`, {
      hint: 'Write `name: value` lines.',
    });
  const node = document.createNode(value);
  visit(node, { Seq: inOneLine });
  document.set(key, node);
  return document.toString({ lineWidth: 120, flowCollectionPadding: false });
}
