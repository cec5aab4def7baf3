import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TesseraError } from '../../../shared/errors.ts';
import { elementCount } from '../../../shared/tensor/tensor.ts';
import { channelSegment } from '../../../shared/tiling/channel-segment.ts';
import { compareForms, compareTensors, runStage } from '../../../shared/tiling/reference.ts';
import { buildStage } from '../../../shared/tiling/stage.ts';
import { Dice, rolls } from './dice.ts';
import { inputsFor, sessions, stageOf } from './network.ts';
import { randomLayers } from './random-layers.ts';
import { randomNetwork, steps } from './random-network.ts';
import { runWhole } from './truth.ts';

/** Set TESSERA_FUZZ_RUNS for a longer search. */
const runs = Number(process.env.TESSERA_FUZZ_RUNS ?? 150);

/** Cuts `count` steps into at most `parts` runs, unevenly. */
function cut(count: number, dice: Dice, parts: number): number[] {
  const sizes: number[] = [];
  for (let left = count; left > 0; ) {
    const size = sizes.length + 1 === parts ? left : dice.int(1, left);
    sizes.push(size);
    left -= size;
  }
  return sizes;
}

test('random layers in random slices of channels equal the whole network', { timeout: 3_600_000 }, async () => {
  let cuts = 0;
  await fc.assert(
    fc.asyncProperty(rolls, async (list) => {
      const dice = new Dice(list);
      const { net, inputs, outputs } = randomLayers(dice);
      const resolved = net.resolve(...outputs);
      const data = inputsFor(resolved, inputs);
      const whole = await runWhole(net.file(...outputs), data);
      if ('reason' in whole) throw new Error(String(whole.reason));
      const segment = channelSegment(resolved, inputs, outputs);
      const sizes = cut(segment.channels / segment.step, dice, 4).map((size) => size * segment.step);
      const form = buildStage(resolved, stageOf(inputs, outputs, { kind: 'channels', sizes }));
      if (sizes.length > 1) cuts++;
      const { initializers } = resolved.model.graph;
      const { run, release } = sessions();
      try {
        const made = await runStage(form, data, resolved.specs, run, initializers);
        // Quantisation rounds: a difference in the last digit may become one step of it.
        const isRounded = resolved.model.graph.nodes.some(({ op }) => op === 'QuantizeLinear');
        expect(compareTensors(whole, made), `sizes ${sizes}`).toBeLessThanOrEqual(isRounded ? 0.05 : 1e-5);
      } finally {
        await release();
      }
      // Together the parts have each weight that is cut exactly once.
      const held = new Map<string, number>();
      for (const { slices } of form.parts)
        for (const { tensor, box } of slices)
          held.set(tensor, (held.get(tensor) ?? 0) + elementCount(box.map(([start, end]) => end - start)));
      for (const [tensor, count] of held) expect(count, tensor).toBe(elementCount(initializers.get(tensor)!.dims));
    }),
    { numRuns: runs },
  );
  expect(cuts, 'most networks are cut').toBeGreaterThan(runs / 2);
});

test('pieces of random networks in slices of channels equal the whole piece, or are refused', {
  timeout: 3_600_000,
}, async () => {
  let built = 0;
  await fc.assert(
    fc.asyncProperty(steps, rolls, async (list, numbers) => {
      const dice = new Dice(numbers);
      const network = randomNetwork(list, dice.int(5, 12), dice.int(5, 12));
      if (network === undefined) return;
      const { resolved } = network;
      const { nodes, initializers } = resolved.model.graph;
      const layers = nodes.filter(({ op }) => /^(Conv|ConvTranspose|MatMul)$/.test(op));
      if (layers.length === 0) return;
      const layer = dice.pick(...layers);
      const [from, to] = [layer.inputs[0]!, dice.pick(...nodes.slice(nodes.indexOf(layer))).outputs[0]!];
      let segment: ReturnType<typeof channelSegment>;
      try {
        segment = channelSegment(resolved, [from], [to]);
      } catch (error) {
        if (error instanceof TesseraError && error.code === 'TESSERA_PLAN_INVALID') return;
        throw error;
      }
      built++;
      const sizes = cut(segment.channels / segment.step, dice, 3).map((size) => size * segment.step);
      const { run, release } = sessions();
      try {
        const form = buildStage(resolved, stageOf([from], [to], { kind: 'channels', sizes }));
        const whole = buildStage(resolved, stageOf([from], [to], { kind: 'whole' }));
        const data = inputsFor(resolved, [from]);
        const largest = await compareForms(whole, form, data, resolved.specs, run, initializers);
        expect(largest, `${from} to ${to}, sizes ${sizes}`).toBeLessThanOrEqual(1e-5);
      } finally {
        await release();
      }
    }),
    { numRuns: runs },
  );
  expect(built, 'many pieces can be split').toBeGreaterThan(runs / 8);
});
