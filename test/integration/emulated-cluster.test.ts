import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { planOf, whole } from '../../bench/cluster/plans.ts';
import { skeletonOf } from '../../bench/cluster/prepared.ts';
import { clusterFile } from '../../bench/testbed/cluster-file.ts';
import { ControlGroups } from '../../bench/testbed/control-groups.ts';
import { pictures } from '../../bench/testbed/deployment.ts';
import { EmulatedCluster, removeEmulated, whyNotHere } from '../../bench/testbed/emulated-cluster.ts';
import { Network, namespaces } from '../../bench/testbed/namespaces.ts';
import { loadModelFile } from '../../shared/runtime/package.ts';

/** The testbed: without it, no figure of docs/benchmarks about small computers can be repeated. */

const reason = await whyNotHere();
const MODEL = 'config/models/scenes';
/** No process has this id: the largest one of Linux is 4194304. */
const GONE = 'tessera-bed-4194305';

describe.skipIf(reason !== undefined)(
  `an emulated cluster${reason === undefined ? '' : ` (skipped: ${reason})`}`,
  () => {
    afterEach(() => removeEmulated());

    it('serves frames on devices of its own, has happen what its file says, and leaves nothing behind', async () => {
      const state = await mkdtemp(join(tmpdir(), 'tessera-emulated-'));
      try {
        const groups = ControlGroups.open();
        groups.make(`${GONE}-node-1`, { cores: 0.5, memoryMb: 256 });
        await Network.open(GONE);
        const file = clusterFile.parse({
          version: 1,
          nodes: 2,
          device: { cores: 0.5 },
          base: { cores: 0.5 },
          events: [{ do: 'kill', frame: 1, nodes: [2] }],
        });
        const cluster = await EmulatedCluster.start({ file, model: MODEL, state, note: () => {} });
        expect(groups.named(GONE)).toEqual([]);
        expect((await namespaces()).filter((name) => name.startsWith(GONE))).toEqual([]);

        const { graph } = await loadModelFile(join(MODEL, 'model.onnx'));
        const names = (ports: readonly { readonly name: string }[]) => ports.map(({ name }) => name);
        const stage = { ...whole(names(graph.inputs), names(graph.outputs), 'node-2'), fallback: ['node-1'] };
        cluster.startNodes();
        await cluster.deploy(planOf([stage], await skeletonOf({ folder: MODEL, path: MODEL, state }, false)));
        cluster.limit(true);
        const [picture] = await pictures(1);
        const base64 = Buffer.from(picture!).toString('base64');
        for (const [frame, node] of ['node-2', 'node-1'].entries()) {
          await cluster.happen(frame);
          const before = cluster.cpu();
          const { result } = await cluster.driver.call('frame', { format: 'jpeg', base64 });
          expect(result.status).toBe('ok');
          expect(result.tiles_per_node).toEqual({ [node]: 1 });
          expect(cluster.cpu().base).toBeGreaterThan(before.base);
        }
      } finally {
        await removeEmulated();
        await rm(state, { recursive: true, force: true });
      }
      const own = `tessera-bed-${process.pid}`;
      expect(ControlGroups.open().named(own)).toEqual([]);
      expect((await namespaces()).filter((name) => name.startsWith(own))).toEqual([]);
    });
  },
);
