import { counted } from '../../shared/counted.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';

/** The lines that `tessera infer` prints for people. */

/** A file's name for one line of output: control characters become `?`. */
export function shownName(file: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a name may hold a line feed, or commands for the terminal.
  return file.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}

/** A plan, why it was chosen and what it costs. */
export function describePlan(
  { plan, cost: { macsOnNodes, convMacsOnNodes } }: CompiledPlan,
  nodes: number,
  cost: string,
): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
  const share = `${percent(macsOnNodes)} of all multiply-adds (${percent(convMacsOnNodes)} of the convolutions')`;
  return `plan ${plan.id}: ${plan.reason}; ${share} on ${counted(nodes, 'node')}; ${cost}`;
}

/** A result in one line. */
export function readable(result: ResultObject): string {
  const { status, top, predictions, task, latency_ms, approximate, error, exit, tiles_per_node, fallback } = result;
  const tiles = Object.entries(tiles_per_node)
    .sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
    .map(([node, count]) => `${node}:${count}`);
  const named = predictions.map(({ label, score, box }) => {
    const where = box === undefined ? '' : ` [${box.map(Math.round).join(' ')}]`;
    return `${label} ${score.toFixed(2)}${where}`;
  });
  const nothing = task === 'detect' ? 'nothing found' : (top?.label ?? `${task} done`);
  const hint = error?.hint === undefined ? '' : ` (${error.hint})`;
  const found = status === 'error' ? `${error?.code}: ${error?.message}${hint}` : named.join(', ') || nothing;
  const early = exit === null ? '' : `; ended at exit ${exit}`;
  const instead = fallback === undefined ? '' : `; computed by stand-ins: ${fallback.text}`;
  const remark = `${approximate ? '; approximate' : ''}${instead}`;
  return `${found}  (${Math.round(latency_ms)} ms; tiles ${tiles.join(' ')}${early}${remark})`;
}

/** Whether the cluster or one node was faster. */
export function comparison(
  many: readonly ResultObject[],
  single: readonly ResultObject[],
  nodes: number,
  isReplicated: boolean,
): string {
  const median = (results: readonly ResultObject[]): number =>
    results.map((result) => result.latency_ms).sort((a, b) => a - b)[Math.floor(results.length / 2)] ?? Number.NaN;
  const [cluster, one] = [median(many), median(single)];
  const verdict = isReplicated
    ? 'both run each frame whole on one node: more nodes serve more frames, none of them sooner'
    : cluster < one
      ? `the cluster is ${(one / cluster).toFixed(2)}x as fast`
      : `one node is ${(cluster / one).toFixed(2)}x as fast: use one machine for this network`;
  const times = `${counted(nodes, 'node')} ${cluster.toFixed(1)} ms, one node ${one.toFixed(1)} ms`;
  return `median latency: ${times}; ${verdict} (nodes on one machine share its cores)`;
}
