import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FormName, Forms } from '../../bench/plan-forms/forms.ts';
import { NO_MOSQUITTO, startMosquitto } from '../../bench/testbed/mosquitto.ts';
import { choosePlan } from '../../central/planner/default-plan.ts';
import { BASELINES } from '../../central/planner/strategies.ts';
import { withPrivateCluster } from '../../cli/private-cluster.ts';
import { parseCard } from '../../shared/model/card.ts';
import { compilePlan } from '../../shared/plan/compile.ts';
import { silentLog } from '../../shared/ports.ts';
import type { FrameEnvelope } from '../../shared/protocol/messages/frame.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';
import { difference } from '../../shared/tensor/compare.ts';
import { elementCount, type Tensor } from '../../shared/tensor/tensor.ts';
import { numbers } from '../support/tiny-network.ts';

/**
 * Lost if this fails: a plan that is replaced and comes back while frames of it are open loses the regions that its nodes
 * hold for them, or takes those of another frame or plan; or frames stall while a plan is prepared.
 */

const network = join(process.env.TESSERA_DATA ?? resolve('../shared/data'), 'models', 'cifar10_resnet20.onnx');
const A: FormName = 'three tile stages that stay';
const B: FormName = 'a chain of nodes';
const TURNS = 4;
/** Frames that are open at any time, also when a plan is replaced. */
const OPEN = 6;
/** Frames before the first plan is replaced. */
const BEFORE = 30;
/** Between two results at a change of plans lies at most this many times the longest frame before it. */
const MOST_PAUSE = 2;

describe.each(['embedded', 'mosquitto'] as const)('plans whose tensors go straight (%s)', (kind) => {
  test.skipIf(!existsSync(network))(`A, B, A with frames open (${network})`, { timeout: 120_000 }, async ({ skip }) => {
    const broker = kind === 'mosquitto' ? await startMosquitto() : undefined;
    if (kind === 'mosquitto' && broker === undefined) return skip(NO_MOSQUITTO);
    const cluster = { nodes: 4, base: 'tessera', maximumPacketSize: 1_000_000, log: silentLog };
    try {
      const bus = broker === undefined ? {} : { bus: { url: broker.url } };
      await withPrivateCluster({ ...cluster, ...bus }, async ({ central, agents, camera, serve }) => {
        const card = parseCard({ name: 'net', task: 'raw' }, 'net');
        const model = await loadModelFile(network);
        const served = await central.load({ name: 'net', card, labels: [], model, picture: false });
        const { shape, dtype } = served.input;
        const pictures = Array.from(
          { length: 3 },
          (_, i) => new Uint8Array(numbers(elementCount(shape), i + 1).buffer),
        );
        let sent = 0;
        /** When frames ended and how long they took, ms. */
        const ends: { readonly at: number; readonly ms: number }[] = [];
        const send = async (picture: number) => {
          const d = pictures[picture]!;
          const frame: FrameEnvelope = { v: 1, format: 'tensor', dtype, shape: [...shape], d, tensors: true };
          const began = performance.now();
          const { result, tensors } = await camera.send(`f-${sent++}`, frame, 60_000);
          ends.push({ at: performance.now(), ms: performance.now() - began });
          expect([result.status, result.error]).toEqual(['ok', undefined]);
          const output = tensors!.outputs[0]!;
          return { plan: result.plan, output: { ...output, data: output.d } };
        };
        await serve('net', choosePlan(served, { nodeCount: 1, ...BASELINES.central }));
        const whole: Tensor[] = [];
        for (const picture of pictures.keys()) whole.push((await send(picture)).output);

        const forms = new Forms(
          served.resolved,
          served.manifest.skeleton.sha,
          agents.map(({ id }) => id),
        ).all();
        const [a, b] = [A, B].map((name) =>
          compilePlan(forms.find((form) => form.name === name)!.plan!, served.resolved),
        );
        await serve('net', a!);
        ends.length = 0;
        let switching = true;
        const film = async (lane: number): Promise<void> => {
          const picture = lane % pictures.length;
          while (switching)
            expect(difference(whole[picture]!, (await send(picture)).output).largest).toBeLessThanOrEqual(1e-4);
        };
        const films = Promise.all(Array.from({ length: OPEN }, (_, lane) => film(lane)));
        const turns = async (): Promise<void> => {
          while (ends.length < BEFORE) await send(0);
          const before = ends.splice(0, ends.length - 1);
          for (let turn = 1; turn <= TURNS; turn++) {
            const next = turn % 2 === 1 ? b! : a!;
            await serve('net', next);
            while ((await send(0)).plan !== next.plan.id);
          }
          switching = false;
          const pauses = ends.slice(1).map(({ at }, k) => at - ends[k]!.at);
          const longest = Math.max(...before.map(({ ms }) => ms));
          expect(Math.max(...pauses)).toBeLessThan(MOST_PAUSE * longest);
        };
        await Promise.all([films, turns()]);
      });
    } finally {
      await broker?.stop();
    }
  });
});
