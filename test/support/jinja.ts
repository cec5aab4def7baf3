import { spawnSync } from 'node:child_process';

/**
 * Jinja2 itself, in the sandbox and with the filter that Home Assistant replaces, for templates in what Home Assistant is
 * told. It runs in Python (Debian: python3-jinja2).
 */

const PROGRAM = `
import json, sys
from jinja2.sandbox import ImmutableSandboxedEnvironment
environment = ImmutableSandboxedEnvironment()
def forgiving_int(value, default=None, base=10):
    try:
        return int(float(value))
    except (ValueError, TypeError):
        if default is None:
            raise
        return default
environment.filters["int"] = forgiving_int
def rendered(template, value):
    variables = {"value": value}
    try:
        variables["value_json"] = json.loads(value)
    except ValueError:
        pass
    return environment.from_string(template).render(variables).strip()
json.dump([rendered(*one) for one in json.load(sys.stdin)], sys.stdout)
`;

/** Why templates cannot be rendered here; undefined where they can. */
export const NO_JINJA =
  spawnSync('python3', ['-c', 'import jinja2.sandbox']).status === 0
    ? undefined
    : 'Jinja2 is not installed (Debian: apt install python3-jinja2)';

/** Each template with the payload that it is given, as Home Assistant renders it. Throws what Python says. */
export function render(...pairs: readonly (readonly [template: string, payload: string])[]): string[] {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', PROGRAM], {
    input: JSON.stringify(pairs),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as string[];
}
