import type { SchedulablePlan } from '../../../shared/plan/compiled-plan.ts';
import type { Problem } from '../strategy.ts';
import type { Places } from './places.ts';
import type { PredictedMachine } from './prediction.ts';
import { layersBetween } from './stage-layers.ts';

/** What each machine does for a frame, by how busy it is and by what it sends. */
export function machinesOf(
  { nodes, graph }: Problem,
  { plan, stages }: SchedulablePlan,
  places: readonly Places[],
  busy: ReadonlyMap<string, number>,
  upload: ReadonlyMap<string, number>,
  latencyMs: number,
): PredictedMachine[] {
  const memory = new Map<string, number>();
  for (const { id: stage, inputs, outputs, split } of plan.stages) {
    const weights = layersBetween(graph, inputs, outputs).reduce(
      (sum, layer) => sum + (graph.layers[layer]!.weight_bytes ?? 0),
      0,
    );
    const { parts } = stages[stage]!;
    const cost = parts.reduce((sum, part) => sum + part.cost, 0);
    for (const node of new Set(places.flatMap((turn) => turn[stage]!))) {
      const own = parts.filter(({ t_id }) => places.some((turn) => turn[stage]![t_id] === node));
      // A node keeps only the weights of its slices of channels.
      const share = split.kind === 'channels' ? own.reduce((sum, part) => sum + part.cost, 0) / Math.max(1, cost) : 1;
      const tensors = own.reduce((sum, { bytes_in, bytes_out }) => sum + bytes_in + bytes_out, 0);
      memory.set(node, (memory.get(node) ?? 0) + share * weights + tensors);
    }
  }
  return [...new Set([...memory.keys(), ...upload.keys()])].map((id) => {
    const power = nodes.find((node) => node.id === id)?.power_w;
    const busyMs = busy.get(id) ?? 0;
    return {
      id,
      busy_ms: busyMs,
      memory_bytes: memory.get(id) ?? 0,
      upload_bytes: upload.get(id) ?? 0,
      energy_j:
        power === undefined ? null : (busyMs * power.busy + Math.max(0, latencyMs - busyMs) * power.idle) / 1000,
    };
  });
}
