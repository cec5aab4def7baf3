import type { Profile, ProfiledNode } from '../../central/planner/profile/schema.ts';
import type { ServedModel } from '../../central/served-model.ts';
import { TesseraError } from '../../shared/errors.ts';
import type { Bus } from '../../shared/ports.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag, integer, string, value, valueOr, values } from '../options.ts';
import { type Column, table } from '../output.ts';
import type { KeptMeasurements } from '../profile/kept-measurements.ts';
import { parseShape } from '../shape.ts';

/** The links of larger fleets are in the file only. */
const MOST_SHOWN = 5;

/** `tessera profile`: how long does a network take on each node, and what do the links carry? */
export const command = defineCommand({
  description:
    'Measures a model on every node that is online, and on central, as the runtime will run it: each block between two ' +
    'cut points, runs of several blocks, and the whole network; then all links, both ways, through the broker. Writes a ' +
    'profile, from which plans are made; a running central gets it too. Interrupted, it goes on when it is started ' +
    'again. A private cluster is made ' +
    'for it, unless --broker names a running one. Measure while no frames come: a node that computes them is slower.',
  options: {
    ...connectionOptions,
    model: valueOr('--model <model>', 'model folder, name of a model, or .onnx file', string, 'scenes'),
    out: value('--out <file>', 'the profile; default: MODEL.profile.json in this folder', string),
    nodes: value('--nodes <n>', 'node agents of the private cluster (default: 2)', integer(1, 64)),
    repeats: valueOr(
      '--repeats <n>',
      'runs of each measurement; fewer where they take long, more where they are short',
      integer(3, 1000),
      10,
    ),
    shareEqual: flag('--share-equal', 'nodes of equal hardware, runtime and threads are measured once for all of them'),
    tune: flag(
      '--tune',
      'each node agent first searches its fastest settings of the runtime for the model, and keeps them',
    ),
    predict: values(
      '--predict <node>',
      'predict this node from the others instead of measuring it; repeat it for several',
      string,
    ),
    tensor: value(
      '--tensor <shape>',
      'in a private cluster: frames are tensors of this shape, as for `tessera infer --tensor`',
      parseShape,
    ),
  },
  examples: [
    ['profile --model mobilenet_v2.onnx', 'a private cluster of two nodes'],
    ['profile --broker mqtt://192.168.1.10 --model person --out person.json', 'the nodes of a running cluster'],
    ['profile --broker mqtt://192.168.1.10 --share-equal', 'one of several equal boards is measured'],
  ],
  async run({ options, json, out, signal, config }) {
    const { broker, nodes: count, repeats, shareEqual, tune, predict, tensor } = options;
    if (broker !== undefined && (count !== undefined || tensor !== undefined))
      throw new TesseraError('TESSERA_USAGE', '--nodes and --tensor are for a private cluster', {
        hint: 'leave them away, or leave --broker away',
      });
    const { config: settings } = await config(await connectionSettings(options));
    const [{ connectCommand, openLog }, { loadRequestFor }, { topics }, { profileFleet }, { writeOutput }] =
      await Promise.all([
        import('../connect.ts'),
        import('../models.ts'),
        import('../../shared/protocol/topics.ts'),
        import('../profile/profile-fleet.ts'),
        import('../../shared/runtime/whole-file.ts'),
      ]);
    const { showProgress } = await import('../progress.ts');
    const { keptIn } = await import('../profile/kept-measurements.ts');
    const log = await openLog(settings, 'profile');
    const form = tensor === undefined ? {} : { picture: false, inputShape: tensor };
    const { request, notes } = await loadRequestFor(options.model, settings, { ...form, signal });
    for (const note of notes) out.note(`note: ${note}`);
    const file = options.out ?? `${request.name}.profile.json`;
    const agents = count ?? 2;
    const names = topics(settings.mqtt.base_topic);
    let kept: KeptMeasurements | undefined;
    const progress = showProgress({ json, out });
    const measure = async (model: ServedModel, bus: Bus): Promise<Profile> => {
      kept = await keptIn(`${file}.part`, model.manifest.skeleton.sha, repeats);
      if (kept.times.length > 0) out.note(`goes on with the measurements in ${kept.path}`);
      const tier = settings.central.tier ?? 'edge';
      const fleet = { bus, topics: names, tier, isPrivate: broker === undefined };
      const of = { model, kept, repeats, shareEqual, tune, predict, fleet, agents };
      return profileFleet({ ...of, progress, note: out.note, signal });
    };
    let profile: Profile | undefined;
    try {
      profile = await (broker === undefined ? inPrivate() : atRunning());
    } finally {
      await kept?.save();
    }
    if (profile === undefined) {
      if (kept !== undefined) out.note(`interrupted: ${kept.path} keeps what was measured; the same command goes on`);
      return 0;
    }
    await writeOutput({ what: '--out', path: file }, `${JSON.stringify(profile)}\n`);
    const isComplete = profile.nodes.every(({ id, predicted }) => predicted === undefined || predict.includes(id));
    if (isComplete) await kept!.remove();
    else out.note(`${kept!.path} keeps what was measured: the same command measures the rest`);
    if (json)
      out.json({ event: 'profile', file, nodes: profile.nodes.map(shown), correction: profile.correction ?? null });
    else for (const line of lines(profile)) out.line(line);
    out.note(`the profile is in ${file}`);
    return 0;

    async function inPrivate(): Promise<Profile | undefined> {
      const { withPrivateCluster } = await import('../private-cluster.ts');
      const { base_topic: base, maximum_packet_size: maximumPacketSize } = settings.mqtt;
      const of = { nodes: agents, base, maximumPacketSize, signal, shown: { json, out }, log };
      const { BASELINES } = await import('../../central/planner/strategies.ts');
      const { sendFrames } = await import('../profile/send-frames.ts');
      return withPrivateCluster(of, async ({ central, bus, camera, serve }) => {
        const model = await central.load(request);
        const plan = await central.choosePlan(model.name, { nodeCount: 1, ...BASELINES.central });
        await serve(model.name, plan);
        await sendFrames(camera, model).catch(({ message }) =>
          out.note(`made-up frames end with an error: ${message}`),
        );
        return measure(model, bus);
      });
    }

    async function atRunning(): Promise<Profile | undefined> {
      const [{ loadAsCentral }, { handOver }] = await Promise.all([
        import('../profile/network.ts'),
        import('../profile/hand-over.ts'),
      ]);
      const model = await loadAsCentral(request, log, signal);
      const bus = await connectCommand(settings, 'profile', log);
      try {
        const measured = await measure(model, bus);
        await handOver(bus, names, JSON.stringify(measured)).then(
          (nodes) => out.note(`central plans with it from now on: ${nodes.join(', ')}`),
          ({ message }) => out.note(`central does not plan with it: ${message}`),
        );
        return measured;
      } catch (error) {
        if (signal.aborted) return undefined;
        throw error;
      } finally {
        await bus.stop();
      }
    }
  },
});

/** What a line about a node says, ms. */
interface Shown {
  readonly id: string;
  readonly tier: string;
  /** Of the whole network as one run; null where it was not measured. */
  readonly whole_ms: number | null;
  /** Of all blocks, one by one. */
  readonly blocks_ms: number;
  readonly message_ms: number | null;
  readonly how: string;
}

function shown(node: ProfiledNode): Shown {
  const { id, tier, block_ms, runs = [], message_ms, predicted, measured_on, busy } = node;
  const blocks_ms = block_ms.reduce((sum, ms) => sum + ms, 0);
  const last = block_ms.length - 1;
  const whole = last === 0 ? blocks_ms : runs.find(({ blocks }) => blocks[0] === 0 && blocks[1] === last)?.ms;
  const how = [
    predicted === undefined ? 'measured' : `predicted, error ${(100 * predicted.error).toFixed(0)} %`,
    ...(measured_on === undefined ? [] : [`on ${measured_on}`]),
    ...(busy === undefined ? [] : [`while it computed ${busy} parts of frames`]),
  ].join(' ');
  return { id, tier, whole_ms: whole ?? null, blocks_ms, message_ms: message_ms ?? null, how };
}

const ms = (time: number | null): string => (time === null ? '-' : time.toPrecision(3));

function lines({ nodes, links, correction }: Profile): string[] {
  const columns: readonly Column<Shown>[] = [
    { title: 'node', cell: ({ id }) => id },
    { title: 'tier', cell: ({ tier }) => tier },
    { title: 'whole ms', align: 'right', cell: ({ whole_ms }) => ms(whole_ms) },
    { title: 'blocks ms', align: 'right', cell: ({ blocks_ms }) => ms(blocks_ms) },
    { title: 'message ms', align: 'right', cell: ({ message_ms }) => ms(message_ms) },
    { title: 'times', cell: ({ how }) => how },
  ];
  const linkColumns: readonly Column<Profile['links'][number]>[] = [
    { title: 'from', cell: ({ from }) => from },
    { title: 'to', cell: ({ to }) => to },
    { title: 'ms', align: 'right', cell: ({ rtt_ms }) => ms(rtt_ms) },
    { title: 'Mbit/s', align: 'right', cell: ({ mbps }) => ms(mbps) },
  ];
  const fits =
    correction === undefined
      ? []
      : [
          `a run takes ${correction.ratio.toFixed(3)} times the sum of its blocks; error ${(100 * correction.error).toFixed(1)} %`,
        ];
  const linkLines = nodes.length <= MOST_SHOWN && links.length > 0 ? table(linkColumns, links) : [];
  return [...table(columns, nodes.map(shown)), ...fits, ...linkLines];
}
