import { nearest } from '../nearest.ts';
import type { z } from '../schema.ts';

/** The accepted values of a key, from the schema's issue. */
export function accepted(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_union')
    return [...new Set(issue.errors.flat().map(accepted))].join(', or ').replaceAll(', or expected ', ', or ');
  if (issue.code === 'invalid_key') return issue.issues[0]?.message ?? issue.message;
  if (issue.code === 'invalid_value')
    return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  if (issue.code === 'invalid_type') return `expected ${TYPES[issue.expected] ?? issue.expected}`;
  if (issue.code === 'too_big')
    return `expected at most ${issue.maximum}${issue.inclusive === false ? ', and less' : ''}`;
  if (issue.code === 'too_small')
    return issue.inclusive === false ? `expected more than ${issue.minimum}` : `expected at least ${issue.minimum}`;
  return issue.message.replace(/^Invalid input: /, '').replace(/, received .*$/, '');
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
};

/** The probable intention of a wrong value; undefined where it cannot be guessed. */
export function meaning(
  issue: z.core.$ZodIssue,
  path: readonly string[],
  value: unknown,
  isSecret: boolean,
): string | undefined {
  if (issue.code === 'invalid_union')
    return issue.errors
      .flat()
      .map((one) => meaning(one, path, value, isSecret))
      .find((found) => found !== undefined);
  if (issue.code === 'invalid_type') return valueHint(issue.expected, path, value, isSecret);
  if (issue.code === 'invalid_value') {
    const close = typeof value === 'string' ? nearest(value, issue.values.map(String)) : undefined;
    return close === undefined ? undefined : `did you mean ${close}?`;
  }
  if (path.join('.') === 'mqtt.server' || path.slice(0, 2).join('.') === 'broker.listen') return urlHint(value);
  if (path.join('.') === 'models.agreement' && typeof value === 'number' && value > 1 && value <= 100)
    return `${value} % is ${value / 100}`;
  return undefined;
}

/**
 * The probable intention of a value of the wrong type, as a sentence for a hint; undefined where it cannot be guessed.
 * `expected` is the schema's type: `boolean`, `number`, `string`, `array`.
 */
function valueHint(
  expected: string | undefined,
  path: readonly string[],
  value: unknown,
  isSecret: boolean,
): string | undefined {
  if (expected === 'boolean') return booleanHint(value);
  if (expected === 'number') return numberHint(path.at(-1) ?? '', value);
  if (expected === 'string' && (typeof value === 'number' || typeof value === 'boolean'))
    // YAML has parsed it already: 0042 is 42, 1e3 is 1000, so the original text is lost.
    return `put the value into quotes: without them it is ${typeof value === 'number' ? 'a number' : 'true or false'}`;
  if (expected === 'string' && Array.isArray(value)) return 'remove the brackets or the dash';
  if (expected === 'array' && (typeof value === 'string' || typeof value === 'number'))
    return `write ${isSecret ? '[...]' : `[${value}]`}`;
  return undefined;
}

const WORDS: Readonly<Record<string, boolean>> = {
  yes: true,
  on: true,
  y: true,
  enable: true,
  enabled: true,
  true: true,
  1: true,
  no: false,
  off: false,
  n: false,
  disable: false,
  disabled: false,
  false: false,
  0: false,
};

function booleanHint(value: unknown): string | undefined {
  const meant = WORDS[String(value).toLowerCase()];
  if (meant === undefined) return undefined;
  if (typeof value === 'string' && value.toLowerCase() === String(meant)) return `write ${meant} without quotes`;
  return `write ${meant}: in YAML 1.2 ${JSON.stringify(value)} is ${typeof value === 'number' ? 'a number' : 'text'}`;
}

/** Units that people write after a number, and their size in the unit of the key's suffix. */
const UNITS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  s: { ms: 0.001, s: 1, sec: 1, m: 60, min: 60, h: 3600 },
  ms: { ms: 1, s: 1000, sec: 1000, m: 60_000, min: 60_000 },
  mb: { kb: 0.001, mb: 1, m: 1, mib: 1.048576, gb: 1000, g: 1000, gib: 1073.741824 },
  size: { b: 1, kb: 1000, mb: 1_000_000, mib: 1_048_576 },
  share: { '%': 0.01 },
  agreement: { '%': 0.01 },
};

function numberHint(key: string, value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (text !== '' && Number.isFinite(Number(text))) return `write ${Number(text)} without quotes`;
  const [, digits, unit] = /^(\d+\.?\d*)\s*([a-z%]+)$/i.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const factor = UNITS[key.split('_').at(-1)!]?.[unit.toLowerCase()];
  // An unknown unit may mean anything.
  if (factor === undefined) return `write a number without "${unit}"`;
  return `write ${Number((Number(digits) * factor).toPrecision(12))} without "${unit}"`;
}

const SCHEMES: Readonly<Record<string, string>> = {
  tcp: 'mqtt',
  ssl: 'mqtts',
  tls: 'mqtts',
  http: 'ws',
  https: 'wss',
  mqtt5: 'mqtt',
};

/** An address as the URL of a broker: `pi:1883`, `tcp://pi`. */
export function urlHint(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const [, scheme, rest] = /^([a-z0-9]+):\/\/(.+)$/i.exec(value.trim()) ?? [];
  const known = SCHEMES[scheme?.toLowerCase() ?? ''];
  if (known !== undefined) return `write ${known}://${rest}`;
  return scheme === undefined && /^[\w.[\]:-]+$/.test(value.trim()) ? `write mqtt://${value.trim()}` : undefined;
}
