/** An error of ONNX Runtime for users, with a hint; the original text is for debugging. */
export interface Explained {
  readonly message: string;
  readonly hint?: string;
}

/** Most characters of a message; ONNX Runtime repeats itself beyond that. */
const MAX_MESSAGE = 300;

/** `/onnxruntime_src/.../file.cc:91 ` in front of a C++ function's name and arguments. */
const LOCATION = /\s*\/?[\w.+/-]+\.(?:cc|cpp|cxx|cu|h|hpp):\d+\s+/;

/** The end of the C++ function that begins at `from`: after its arguments, templates and qualifiers. */
function afterSignature(text: string, from: number): number {
  const open = text.indexOf('(', from);
  if (open === -1) return from;
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')' && --depth === 0) {
      const rest = /^(?:\s*(?:const|noexcept|\[with [^\]]*\]))*/.exec(text.slice(at + 1))![0];
      return at + 1 + rest.length;
    }
  }
  return from;
}

/** The text without source locations and checked conditions. */
function withoutSource(text: string): string {
  let plain = text;
  for (let found = LOCATION.exec(plain); found !== null; found = LOCATION.exec(plain)) {
    const end = afterSignature(plain, found.index + found[0].length);
    const rest = plain.slice(end).replace(/^\s*(?:[^.]{0,200}? was false\.)\s*(?=\S)/, ' ');
    plain = `${plain.slice(0, found.index)} ${rest.trimStart()}`;
  }
  return plain.replace(/\s+/g, ' ').trim();
}

/** The beginning of a text, in complete sentences where possible. */
function bounded(text: string): string {
  if (text.length <= MAX_MESSAGE) return text;
  const head = text.slice(0, MAX_MESSAGE);
  const end = head.lastIndexOf('. ');
  return end > MAX_MESSAGE / 3 ? head.slice(0, end + 1) : `${head}...`;
}

type Rule = readonly [pattern: RegExp, explain: (found: RegExpExecArray) => Explained];

const RULES: readonly Rule[] = [
  [
    /Opset (\d+) is under development.*support for domain ([\w.-]+) is till opset (\d+)/,
    ([, version, domain, most]) => ({
      message: `this runtime knows operator sets${domain === 'ai.onnx' ? '' : ` of ${domain}`} up to ${most}; the network uses ${version}`,
      hint: `export it with opset_version=${most} or lower, or convert it with onnx.version_converter`,
    }),
  ],
  [
    /Unsupported model IR version: (\d+), max supported IR version: (\d+)/,
    ([, version, most]) => ({
      message: `this runtime knows files of IR version up to ${most}; this one is of version ${version}`,
      hint: `set model.ir_version = ${most} and save it again (onnx.save), or export it with an older onnx`,
    }),
  ],
  [
    /No Op registered for (\S+) with domain_version of (\d+)/,
    ([, op, version]) => ({
      message: `this runtime does not know operator ${op} (operator set ${version})`,
      hint: 'export the network with operators of ONNX itself, or for another operator set',
    }),
  ],
  [
    /Fatal error: (\S+?)\(-?\d+\) is not a registered function\/op/,
    ([, op]) => ({
      message: `this runtime does not know operator ${op}`,
      hint: 'export the network with operators of ONNX itself; libraries of custom operators are not loaded',
    }),
  ],
  [
    /No opset import for domain '([^']*)'/,
    ([, domain]) => ({
      message: `the file does not say which operator set of "${domain}" it uses`,
      hint: 'add it with onnx.helper.make_opsetid, or export the network again',
    }),
  ],
  [
    /Could not find an implementation for (\S+?)\((\d+)\) node with name '([^']*)'/,
    ([, op, version, name]) => ({
      message: `this runtime has no implementation of ${op} (operator set ${version}) for the types of "${name}"`,
      hint: 'export the network in float32, or convert it to operator set 13 or newer (onnx.version_converter)',
    }),
  ],
  [
    /Non tensor type is temporarily not supported/,
    () => ({
      message: 'an output is a list, a map or an optional, which no message carries',
      hint: 'cut it off with onnx.utils.extract_model, or make a tensor of it within the network',
    }),
  ],
  [
    /Failed to allocate memory for requested buffer of size (\d+)/,
    ([, bytes]) => ({
      message: `it needs more memory than there is: ${bytes} bytes at once`,
      hint: 'give it a smaller input shape, or a machine with more memory',
    }),
  ],
  [
    /while running (\S+) node\. Name:'([^']*)' Status Message: (.*)/,
    ([, op, name, said]) => ({ message: `${op}${name === '' ? '' : ` "${name}"`} fails: ${withoutSource(said!)}` }),
  ],
];

/**
 * Rewrites an error text of ONNX Runtime: no source locations, no C++ signatures, bounded length. Frequent errors get a
 * hint.
 */
export function explainRuntime(text: string): Explained {
  const line = text
    .replace(/\p{Cc}\[[0-9;]*m/gu, '')
    .replace(/\s+/g, ' ')
    .trim();
  for (const [pattern, explain] of RULES) {
    const found = pattern.exec(line);
    if (found !== null) {
      const { message, hint } = explain(found);
      return { message: bounded(message), ...(hint === undefined ? {} : { hint }) };
    }
  }
  const plain = withoutSource(line.replace(/^Load model from .{1,4096}? failed:/, ' '))
    .replace(/^This is an invalid model\. /, '')
    .replace(/^Fatal error: /, '')
    .replace(/^In Node, .*? , Error /, '');
  return { message: bounded(plain === '' ? 'it says nothing' : plain) };
}
