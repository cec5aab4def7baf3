import type { ServedModel } from '../../central/served-model.ts';
import { StageRunner } from '../../shared/node/stage-runner.ts';
import { TensorStore } from '../../shared/node/tensor-store.ts';
import type { CompiledPlan } from '../../shared/plan/compiled-plan.ts';
import type { BlobStore } from '../../shared/ports.ts';
import { workMessage } from '../../shared/protocol/messages/work.ts';
import { decode, encode } from '../../shared/runtime/cbor.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/**
 * The outputs of a network by their names in the user's file, computed as in a cluster: central's frame store cuts and
 * pastes tiles, messages pass through their schema, a node's stage runner computes. Without threads and broker.
 */
export async function runPlan(
  served: ServedModel,
  compiled: CompiledPlan,
  input: Tensor,
  store: BlobStore,
): Promise<Map<string, Tensor>> {
  const { plan } = compiled;
  const { manifest, names, outputs } = served;
  const runner = new StageRunner({ node: 'n1', store, threads: 1, sessionMemoryMb: 500 });
  const frames = new TensorStore();
  try {
    await runner.prepare(
      plan,
      plan.stages.map(({ id }) => id),
      manifest.skeleton.sha,
      manifest.slices,
    );
    frames.open('0-1', new Map([[served.input.name, input]]));
    for (const stage of plan.stages) {
      const tIds = compiled.stages[stage.id]!.parts.map(({ t_id }) => t_id);
      const tiles = frames.pack('0-1', compiled, stage.id, tIds)!;
      const message = { v: 1, plan: plan.id, i_id: '0-1', stage: stage.id, attempt: 0, budget_ms: 1000, tiles };
      const sent = decode(encode(message), workMessage, 'work');
      for (const tile of sent.tiles) {
        const outcome = await runner.runPart(plan.id, stage.id, tile as (typeof tiles)[number]);
        if ('error' in outcome) throw new Error(`${outcome.error.code}: ${outcome.error.text}`);
        frames.paste('0-1', compiled, stage.id, tile.t_id, outcome.out);
      }
    }
    return new Map(outputs.map((name) => [names.original(name), frames.tensor('0-1', name, compiled)!]));
  } finally {
    await runner.stop();
  }
}
