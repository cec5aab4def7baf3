import { counted } from '../shared/counted.ts';
import type { ResultObject } from '../shared/protocol/messages/result.ts';

/** Predictions that a line names; the rest is counted. */
const NAMED = 3;

/**
 * A result as one line for people:
 *
 *     12:03:04  front  scenes  cup 0.93 (+2 more)  219 ms  nodes pi-1, pi-2  approximate
 */
export function resultLine(result: ResultObject): string {
  const { camera, model, latency_ms, nodes, status, approximate, exit } = result;
  const clock = new Date(result.frame_time * 1000);
  const time = [clock.getHours(), clock.getMinutes(), clock.getSeconds()]
    .map((n) => String(n).padStart(2, '0'))
    .join(':');
  const remarks = [
    ...(status === 'ok' ? [] : [status]),
    ...(result.missing.length > 0 ? [`${counted(result.missing.length, 'tile')} missing`] : []),
    ...(exit === null ? [] : [`exit ${exit}`]),
    ...(approximate ? ['approximate'] : []),
    ...(result.fallback === undefined ? [] : [`done by stand-ins: ${result.fallback.text}`]),
  ];
  const by =
    nodes.length === 0 ? [] : [nodes.length <= NAMED ? `nodes ${nodes.join(', ')}` : counted(nodes.length, 'node')];
  return [time, camera, model, whatWasFound(result), `${Math.round(latency_ms)} ms`, ...by, ...remarks].join('  ');
}

/** The prediction in a few words; for an error its code and text. */
export function whatWasFound({ status, error, task, top, predictions }: ResultObject): string {
  if (status === 'error') return `error ${error?.code ?? ''}: ${error?.message ?? 'unknown'}`;
  if (task === 'classify') return top === null ? 'none' : `${top.label} ${top.score.toFixed(2)}`;
  if (task !== 'detect') return `${task} done`;
  if (predictions.length === 0) return 'nothing found';
  const named = predictions.slice(0, NAMED).map(({ label, score }) => `${label} ${score.toFixed(2)}`);
  const more = predictions.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` (+${more} more)` : ''}`;
}
