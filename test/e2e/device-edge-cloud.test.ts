import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { planOfForm } from '../../bench/plan-forms/plan-of-form.ts';
import { Deployment, eventually } from '../../bench/testbed/deployment.ts';
import { NO_MOSQUITTO } from '../../bench/testbed/mosquitto.ts';
import { loadRequestFor } from '../../cli/models.ts';
import { resolveConfig } from '../../shared/config/layers.ts';
import { CENTRAL, type Plan, type Stage } from '../../shared/plan/plan.ts';
import type { Message } from '../../shared/ports.ts';
import { inlineRegions, type WireRegion } from '../../shared/protocol/messages/region.ts';
import { deployedAnswer } from '../../shared/protocol/messages/requests.ts';
import { resultMessage, tensorMessage } from '../../shared/protocol/messages/work.ts';
import { parseWireTopic } from '../../shared/protocol/topics.ts';
import { decode } from '../../shared/runtime/cbor.ts';
import { askRequest } from '../../shared/runtime/requests.ts';
import { difference } from '../../shared/tensor/compare.ts';
import type { Tensor } from '../../shared/tensor/tensor.ts';

/**
 * D3's picture with a frame that is born at its device: the device runs the first layers, edge nodes tiles with halos of
 * the next ones, a cloud node the rest. Lost if this fails: pixels or feature maps go by way of central, or the answer is
 * another one than the whole network's.
 */

const data = process.env.TESSERA_DATA ?? resolve('../shared/data');
const NETWORK = 'mobilenet_v1_025_128';
const network = join(data, 'models', `${NETWORK}.onnx`);
const CARD = `name: net\nversion: 1\ntask: raw\ninput: {resize: crop, scale: 127.5, mean: [1]}\n`;
const [DEVICE, EDGE, CLOUD] = ['pi-1', ['pi-2', 'pi-3'], 'pi-4'] as const;
/** Work that names regions and carries none is smaller, feature maps and pixels are larger. */
const NO_TENSOR_BYTES = 3000;

/** The whole network at central. */
function wholeOf(plan: Plan): Plan {
  const { inputs } = plan.stages[0]!;
  const { id, outputs, ...last } = plan.stages.at(-1)!;
  return { ...plan, stages: [{ ...last, id: 0, inputs, outputs, on: { mode: 'share', nodes: [CENTRAL] } }] };
}

/** The values of a region that is not encoded. */
function tensorOf({ codec, dtype, shape, d }: WireRegion): Tensor {
  expect(codec).toEqual({ name: 'raw' });
  return { dtype, shape, data: d };
}

/** The tiles pinned to the edge nodes in turn, the last stage in the cloud. */
function tiered(plan: Plan): Plan {
  const [device, edge, cloud] = plan.stages as [Stage, Stage, Stage];
  const parts = [...EDGE, ...EDGE];
  return {
    ...plan,
    stages: [
      { ...device, fallback: 'none' },
      { ...edge, on: { mode: 'share', nodes: [...EDGE], parts } },
      { ...cloud, on: { mode: 'share', nodes: [CLOUD] } },
    ],
  };
}

describe.each(['embedded', 'mosquitto'] as const)('device, edge, cloud (%s)', (kind) => {
  test.skipIf(!existsSync(network))(`equal the whole network (${network})`, { timeout: 120_000 }, async ({ skip }) => {
    const deployment = await Deployment.create();
    const { folder, names } = deployment;
    try {
      const broker = await deployment.broker(kind);
      if (broker === undefined) return skip(NO_MOSQUITTO);
      const { url } = broker;
      for (const name of ['net', 'frames']) await mkdir(join(folder, name));
      await copyFile(network, join(folder, 'net/model.onnx'));
      await writeFile(join(folder, 'net/model.yaml'), CARD);
      const pictures = join(data, 'images/imagenet');
      const picture = join(pictures, (await readdir(pictures)).find((name) => name.endsWith('.JPEG'))!);
      await copyFile(picture, join(folder, 'frames/picture.jpg'));
      const jpeg = new Uint8Array(await readFile(picture));

      const args = ['central', '--broker', url, '--nodes', '4', '--model', join(folder, 'net')];
      await deployment.start(args, 'central').printed(/central is online/);
      const bus = await deployment.connect(url, 'test');
      const { request } = await loadRequestFor(join(folder, 'net'), resolveConfig([]).config);
      const form = await planOfForm(request, 'device, edge tiles, cloud', [DEVICE, ...EDGE], folder);
      const deploy = (plan: Plan) => askRequest(bus, names, 'deploy', { plan }, deployedAnswer, 60_000);
      await deploy(wholeOf(form));
      const camera = await deployment.camera(bus, 'reference');
      const { tensors } = await camera.send('f-1', { v: 1, format: 'jpeg', d: jpeg, tensors: true }, 60_000);
      const whole = tensorOf(tensors!.outputs[0]!);

      const agents = [...EDGE, CLOUD].map((id) => deployment.agent(url, id));
      agents.push(deployment.agent(url, DEVICE, '--camera', 'front=frames', '--fps', '5'));
      await Promise.all(agents.map((agent) => agent.printed(/is online|ready for plan/)));
      await deploy(tiered(form));
      const published: Message[] = [];
      await bus.subscribe('#', 0, (message) => void published.push({ ...message, payload: message.payload.slice() }));
      const results = await deployment.results(bus);
      // Of frames before the plan central may have taken pictures.
      await eventually('a result of the plan', () => results.at(-1)?.nodes.includes(CLOUD) === true, 60_000);
      [published.length, results.length] = [0, 0];
      await eventually('three results', () => results.length >= 3, 60_000);

      const nodes = [DEVICE, ...EDGE, CLOUD];
      for (const { status, nodes: used, error } of results)
        expect([status, used, error]).toEqual(['ok', nodes, undefined]);
      // All messages of the last frame were listened to.
      const { id, bytes_between } = results.at(-1)!;
      const moved = published
        .filter(({ topic }) => parseWireTopic(topic)?.kind === 'tensor')
        .map(({ payload }) => decode(payload, tensorMessage, 'tensor'))
        .filter(({ i_id }) => i_id === id);
      const regions = moved.flatMap(({ tiles }) => tiles.flatMap(({ out }) => out));
      expect(bytes_between).toBe(regions.reduce((sum, region) => sum + region.d.byteLength, 0));
      const answers = published
        .filter(({ topic }) => topic === names.wire(CENTRAL, 'result', CLOUD))
        .flatMap(({ payload }) => decode(payload, resultMessage, 'result').tiles)
        .flatMap((tile) => inlineRegions('out' in tile ? tile.out : []));
      expect(answers.length).toBeGreaterThanOrEqual(2);
      for (const answer of answers) expect(difference(whole, tensorOf(answer)).largest).toBeLessThanOrEqual(1e-4);

      // Feature maps go from device to edge and from edge to cloud, and nothing else that large goes anywhere.
      const senders = new Set<string>();
      for (const { topic, payload } of published) {
        const wire = parseWireTopic(topic);
        if (wire?.kind === 'tensor') senders.add(`${wire.from} ${wire.to}`);
        else expect([topic, payload.byteLength > NO_TENSOR_BYTES && !topic.endsWith(CLOUD)]).toEqual([topic, false]);
        expect(Buffer.from(payload).includes(Buffer.from(jpeg.subarray(200, 264)))).toBe(false);
      }
      const hops = [...EDGE.map((edge) => `${DEVICE} ${edge}`), ...EDGE.map((edge) => `${edge} ${CLOUD}`)];
      expect([...senders].toSorted()).toEqual(hops.toSorted());
    } finally {
      await deployment.end();
    }
  });
});
