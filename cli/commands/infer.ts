import { access, constants } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../shared/config/schema.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { Model } from '../../shared/onnx/model.ts';
import { isReplicated } from '../../shared/plan/plan.ts';
import type { Log } from '../../shared/ports.ts';
import type { PlanStatus } from '../../shared/protocol/messages/central.ts';
import type { ResultObject } from '../../shared/protocol/messages/result.ts';
import type { Dtype } from '../../shared/tensor/tensor.ts';
import type { Grid } from '../../shared/tiling/grid.ts';
import { defineCommand } from '../command.ts';
import type { FrameFile } from '../frame-files.ts';
import { openSaved, type Run, send } from '../infer/send.ts';
import { comparison, describePlan, readable, shownName } from '../infer/words.ts';
import {
  agreementOption,
  codecOption,
  connectionOptions,
  connectionSettings,
  flag,
  gridOption,
  integer,
  oneOf,
  type Parser,
  string,
  type Values,
  value,
  valueOr,
  values,
} from '../options.ts';
import { parseShape } from '../shape.ts';

/** A file that is missing or no model is found out within this time. */
const AT_ONCE_MS = 150;

/** `auto` leaves the choice to the planner. */
const grid: Parser<Grid | undefined> = (text, flag) => (text === 'auto' ? undefined : gridOption(text, flag));

const planOptions = {
  grid: value('--grid <grid>', 'tiles as ROWSxCOLS (2x4), as sizes in cells (5,9x7,7), or auto', grid),
  padding: value(
    '--padding <kind>',
    'halo: equals the whole network; zero: each tile alone (FDSP)',
    oneOf('zero', 'halo'),
  ),
  cut: values('--cut <tensor>', 'tensor after which a tile stage ends; repeat it for several stages', string),
  strategy: value('--strategy <name>', 'planning strategy; an unknown name lists those that exist', string),
  codec: value(
    '--codec <spec>',
    'codec of the results of tiles: raw, packed, fp16, q8, q8:channel, clip:A:B:BITS; default: that of model.yaml',
    codecOption,
  ),
  ignoreExits: flag('--ignore-exits', 'ignore the exits of model.yaml: every frame runs to its end'),
  agreement: agreementOption,
  plan: value('--plan <file>', 'run this plan (JSON)', string),
};

/** What the nodes compute, in multiply-accumulate operations per frame. */
type PlanCost = Pick<PlanStatus, 'macs_on_nodes' | 'conv_macs_on_nodes'>;

const flags = {
  ...connectionOptions,
  model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
  nodes: valueOr('--nodes <n>', 'node agents of the private cluster', integer(1, 64), 2),
  ...planOptions,
  inputShape: value(
    '--input-shape <shape>',
    "the network's input where the file leaves it open, as 1x3x224x224",
    parseShape,
  ),
  tensor: value(
    '--tensor <shape>',
    'files are raw little-endian tensors of this shape for the first input, of its own type (mostly float32)',
    parseShape,
  ),
  dump: value('--dump <file>', "write the first frame's first output as raw little-endian values", string),
  save: value('--save <folder>', 'write annotated pictures, masks, pictures and raw outputs into this folder', string),
  compare: flag('--compare', "print one node's time for the whole network beside the cluster's"),
};

/** `tessera infer`: frames through a cluster, results out. */
export const command = defineCommand({
  arguments: '<files...>',
  description:
    'Runs pictures (or a tensor, or one picture of a camera) through a network that is spread over nodes, and prints ' +
    'the predictions. A private cluster of broker, central and node agents is made for it, unless --broker names a ' +
    'running one.',
  options: flags,
  examples: [
    ['infer cat.jpg --model fastestdet', 'what is in the picture'],
    ['infer cat.jpg --model resnet.onnx --nodes 4 --grid 2x2 --json', 'any ONNX network; result objects for programs'],
    ['infer photos --model fastestdet --save seen', 'a folder of pictures; boxes drawn on copies in seen/'],
    ['infer rtsp://10.0.0.7/sub --model fastestdet', 'what a camera sees now'],
    ['infer x.bin --tensor 1x3x224x224 --dump y.bin --model net.onnx', 'tensors in and out'],
    ['infer cat.jpg --model resnet.onnx --codec clip:0:6:4 --json', 'small results; bytes_down says how small'],
    ['infer cat.jpg --model vgg16.onnx --nodes 4 --compare', 'is the cluster faster than one machine?'],
  ],
  async run({ args, options, json, out, signal, config }) {
    const { openLog } = await import('../connect.ts');
    const { config: settings } = await config(await connectionSettings(options));
    const log = await openLog(settings, 'infer');
    if (options.dump !== undefined) await checkWritable(options.dump);
    // A folder that cannot be made is reported before the work, not after.
    if (options.save !== undefined) await openSaved(options.save, undefined, out.note);
    let cost: PlanCost | undefined;
    const report: Run['report'] = (file, result, saved) => {
      const { macs_on_nodes = null, conv_macs_on_nodes = null } = cost ?? {};
      const written = options.save === undefined ? {} : { saved };
      if (json) out.json({ file, ...result, macs_on_nodes, conv_macs_on_nodes, ...written });
      else out.line(`${shownName(file)}: ${readable(result)}`);
      if (saved.length > 0 && !json) out.note(`saved ${saved.join(', ')}`);
    };
    const run: Run = {
      files: args,
      dump: options.dump,
      save: options.save,
      signal,
      report,
      note: out.note,
      shown: { json, out },
    };
    const onPlan = (found: PlanCost | undefined): void => {
      cost = found;
    };
    const results =
      options.broker === undefined
        ? await inPrivate(options, settings, log, run, onPlan)
        : await atRunning(options, settings, log, run, onPlan);
    return results.every((result) => result.status !== 'error') ? 0 : 1;
  },
});

async function inPrivate(
  options: Values<typeof flags>,
  settings: Config,
  log: Log,
  run: Run,
  onPlan: (cost: PlanCost | undefined) => void,
): Promise<ResultObject[]> {
  const { withPrivateCluster } = await import('../private-cluster.ts');
  const { BASELINES } = await import('../../central/planner/strategies.ts');
  const { machineDefaults } = await import('../machine.ts');
  const { costInWords } = await import('../../central/planner/cost-in-words.ts');
  const { compilePlan } = await import('../../shared/plan/compile.ts');
  const { loadRequestFor } = await import('../models.ts');
  const { readPlanFor } = await import('../plan-file.ts');
  const { nodes, grid, padding, cut, strategy, codec } = options;
  if (options.agreement !== undefined && (codec !== undefined || padding === 'zero' || options.plan !== undefined))
    throw new TesseraError('TESSERA_USAGE', '--agreement holds for calibrated results of halo tiles', {
      hint: 'leave --codec, --padding zero and --plan away',
    });
  const { tensorFrames } = await import('../frame-files.ts');
  const { picturesOf } = await import('../infer/pictures.ts');
  const pictures = options.tensor === undefined ? await picturesOf(run, settings, log) : [];
  const load = async () => {
    const { request, notes } = await loadRequestFor(options.model, settings, {
      picture: options.tensor === undefined,
      inputShape: options.tensor ?? options.inputShape,
      signal: run.signal,
    });
    for (const note of notes) run.note(`note: ${note}`);
    const { tensor } = options;
    const frames = tensor === undefined ? pictures : await tensorFrames(run.files, tensor, inputType(request.model));
    return { request, frames };
  };
  // The processes of the cluster start meanwhile, unless it shows at once that there is nothing to run.
  const loading = load();
  await Promise.race([loading, sleep(AT_ONCE_MS)]);
  const { base_topic: base, maximum_packet_size: maximumPacketSize } = settings.mqtt;
  const { signal } = run;
  const of = { nodes, base, maximumPacketSize, signal, shown: run.shown, log };
  const results = await withPrivateCluster(of, async ({ central, agents, camera, serve }) => {
    const { request, frames } = await loading;
    const served = await central.load(request);
    const compiled =
      options.plan === undefined
        ? await central.choosePlan(served.name, {
            nodeCount: nodes,
            sharedCores: machineDefaults().threads,
            grid,
            padding,
            cuts: cut.length === 0 ? undefined : cut,
            strategy,
            codec,
            agreement: options.agreement ?? settings.models.agreement,
            exits: !options.ignoreExits,
          })
        : compilePlan(await readPlanFor(served, options.plan), served.resolved);
    await serve(served.name, compiled);
    const { cost } = compiled;
    onPlan({ macs_on_nodes: cost.macsOnNodes, conv_macs_on_nodes: cost.convMacsOnNodes });
    run.note(describePlan(compiled, nodes, costInWords(cost)));
    const read = { card: request.picture ? request.card : undefined };
    const silent = { ...run, report: () => {}, dump: undefined, save: undefined, note: () => {} };
    // The first frame of a node is slower than all that follow: what is compared comes after it.
    const warmUp = (frame: FrameFile, times: number) => send(camera, Array(times).fill(frame), silent, read);
    if (options.compare) await warmUp(frames[0]!, nodes);
    const results = await send(camera, frames, run, read);
    if (options.compare) {
      const alone = await central.choosePlan(served.name, {
        nodeCount: 1,
        nodes: [agents[0]!.id],
        ...BASELINES.node,
      });
      await serve(served.name, alone);
      await warmUp(frames[0]!, 1);
      const single = await send(camera, frames, silent, read);
      run.note(comparison(results, single, nodes, isReplicated(compiled.plan)));
    }
    return results;
  });
  return results ?? []; // Nothing where the user stopped it.
}

/** The type of a network's first input. Throws TESSERA_MODEL_UNSUPPORTED for text and the like. */
function inputType({ graph }: Model): { dtype: Dtype } {
  const dtype = graph.inputs[0]?.dtype;
  if (dtype !== undefined && dtype !== 'other') return { dtype };
  throw new TesseraError('TESSERA_MODEL_UNSUPPORTED', 'the network has no input of numbers', {
    hint: 'only networks whose first input is a tensor of numbers can run',
  });
}

/** Fails before the work is done, not after. */
async function checkWritable(file: string): Promise<void> {
  try {
    await access(dirname(resolve(file)), constants.W_OK);
  } catch (cause) {
    throw new TesseraError('TESSERA_USAGE', `--dump ${file} cannot be written`, {
      cause,
      hint: 'name a file in a folder that exists and may be written to',
    });
  }
}

/** Through a cluster that runs elsewhere, which decides by itself how it cuts its models. */
async function atRunning(
  options: Values<typeof flags>,
  settings: Config,
  log: Log,
  run: Run,
  onPlan: (cost: PlanCost | undefined) => void,
): Promise<ResultObject[]> {
  const own = [...Object.keys(planOptions), 'inputShape', 'tensor'] as (keyof typeof flags)[];
  const given = own.filter((key) => options[key] && String(options[key]) !== '');
  if (given.length > 0 || options.compare)
    throw new TesseraError('TESSERA_USAGE', 'a running cluster decides itself how it cuts its models', {
      hint: 'leave --broker away for a private cluster, or leave --grid, --cut, --plan and the like away',
    });
  const { inferAtRunning } = await import('../infer/at-running.ts');
  return inferAtRunning(options.model, settings, log, run, onPlan);
}
