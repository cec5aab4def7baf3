import { flag, integer, oneOf, positive, string, type Values, value, valueOr } from '../cli/options.ts';
import { readPlanFile } from '../cli/plan-file.ts';
import { measureCluster } from './cluster/measure.ts';
import { NETWORKS } from './cluster/networks.ts';
import { comparisonOptions } from './cluster/options.ts';
import { checkNames, defineBenchmark } from './harness/benchmark.ts';
import { clusterFile, readClusterFile } from './testbed/cluster-file.ts';
import { untilSignal } from './testbed/until-signal.ts';

const options = {
  model: valueOr('--model <name>', `the network: ${Object.keys(NETWORKS).join(', ')}`, string, 'vgg16'),
  nodes: value('--nodes <n>', 'node agents, instead of those of the file', integer(1, 64)),
  file: value('--cluster <file>', 'the emulated cluster; absent: eight nodes of 0.15 core, 100 Mbit/s', string),
  baseCores: value(
    '--base-cores <n>',
    'cores of the device of broker and central, instead of those of the file',
    positive,
  ),
  mbps: value('--mbps <n>', 'Mbit/s of every link, instead of those of the file', positive),
  plan: value('--plan <file>', 'a plan file instead of the plan of the table; its `model` is set', string),
  padding: valueOr(
    '--padding <padding>',
    'the plan of the table: zero, as networks are retrained for (FDSP), or halo, without loss',
    oneOf('zero', 'halo'),
    'zero',
  ),
  oneNode: flag('--one-node', 'also measures the single device as a cluster of one node, and takes the faster one'),
  ...comparisonOptions,
};

export const { description, usage, run } = defineBenchmark({
  question: 'how much faster are emulated small computers together than one of them?',
  method:
    'Broker, central and every node agent are processes on emulated devices: each a control group (CPU quota, memory) and ' +
    'a network namespace with a link of limited rate; broker and central share one. The single device is a group of the ' +
    'same quota with bare ONNX Runtime. Both sides take frames in turn, each after idleness. While the cluster starts ' +
    'there are no quotas; start and the first frames are reported on their own. A quota lets short work run faster than ' +
    'a slow device would: `free_share` is the share of the time of a part that is free. Passed: the speed-up of the ' +
    'table is reached, and neither the free share nor the noise is too large.',
  needs: 'root on Linux, control groups (version 1 or 2), ip and tc; nothing else that uses the processor.',
  notMeasured:
    'real devices: caches and memory are those of this machine. Weights are seeded, so that there is no accuracy.',
  options,
  quick: { pairs: 5, warmUp: 20 },
  run: measure,
});

async function measure({
  model,
  nodes,
  file: path,
  baseCores,
  mbps,
  plan,
  padding,
  oneNode,
  pairs,
  warmUp,
  cache,
}: Values<typeof options>) {
  checkNames('--model', [model], Object.keys(NETWORKS));
  const network = NETWORKS[model]!;
  const given = path === undefined ? clusterFile.parse({ version: 1 }) : await readClusterFile(path);
  const rate = mbps === undefined ? {} : { mbps };
  const file = {
    ...given,
    nodes: nodes ?? given.nodes,
    device: { ...given.device, ...rate },
    base: { ...given.base, ...rate, ...(baseCores === undefined ? {} : { cores: baseCores }) },
  };
  const measured = await untilSignal(async () =>
    measureCluster({
      name: model,
      network,
      file,
      plan:
        plan === undefined ? network[padding === 'zero' ? 'plan' : 'lossless'](file.nodes) : await readPlanFile(plan),
      pairs,
      oneNode,
      warmUp,
      cache,
      note: (text) => console.error(text),
    }),
  );
  const target = padding === 'zero' ? network.target : undefined;
  const isFast = target === undefined || measured.speedup >= target;
  return { ...measured, target, pass: isFast && measured.doubts.length === 0 };
}
