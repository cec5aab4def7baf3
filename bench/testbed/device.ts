import { type ChildProcess, spawn } from 'node:child_process';
import { compiledFile } from '../../shared/runtime/worker-entry.ts';
import { Callee, type Methods } from './calls.ts';
import type { ControlGroup } from './control-groups.ts';

/** Joins the groups whose files are the first parameters, after their number, and becomes the rest. */
const JOIN = 'n=$1; shift; while [ $n -gt 0 ]; do echo $$ > "$1" || exit 1; shift; n=$((n-1)); done; exec "$@"';

/** The words before a command that has it run in a group and a namespace, each where given. */
export function within(group: ControlGroup | undefined, namespace: string | undefined): string[] {
  const joins = group?.joins ?? [];
  return [
    ...['/bin/sh', '-c', JOIN, 'sh', String(joins.length), ...joins],
    ...(namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${namespace}`]),
  ];
}

/** Starts a script of this folder that answers calls, under such words. Its name ends with `-process.ts`. */
export function startCallee<M extends Methods>(script: string, under: readonly string[]): Callee<M> {
  const [command, ...words] = [...under, process.execPath, compiledFile(import.meta.url, script)];
  const child: ChildProcess = spawn(command!, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return new Callee<M>(script, child);
}
