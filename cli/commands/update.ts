import { TesseraError } from '../../shared/errors.ts';
import type { UpdateManifest, UpdateRequest } from '../../shared/protocol/messages/update.ts';
import { isVersion } from '../../shared/update/version-order.ts';
import { defineCommand } from '../command.ts';
import { connectionOptions, connectionSettings, flag, integer, string, value, valueOr } from '../options.ts';
import { table } from '../output.ts';
import type { FleetView } from '../read-fleet.ts';

/** `tessera update [VERSION]`: has nodes run another version of the program, or shows how far they are. */
export const command = defineCommand({
  arguments: '[version]',
  description:
    'Has central update the nodes that were started from a bundle: first --canary of them, and when these have kept the ' +
    'version the others, one after another; each is given no new work before it switches. It halts when a node gives the ' +
    'version up. Without a version, --pause, --resume or --rollback, it shows how far the nodes are. With the password of an ' +
    'admin, or on the machine of the broker.',
  options: {
    ...connectionOptions,
    from: value(
      '--from <url>',
      'folder of a web server with the files of the bundles, such as http://central:7373/updates',
      string,
    ),
    nodes: value('--nodes <ids>', 'only these nodes, separated by commas', nodeIds),
    canary: valueOr('--canary <n>', 'nodes that have to keep the version before others begin', integer(0, 1024), 1),
    rollout: valueOr('--rollout <percent>', 'share of the nodes; the same ones each time', percent, 100),
    pause: flag('--pause', 'no further node begins'),
    resume: flag('--resume', 'go on after a pause or a failure'),
    rollback: flag('--rollback', 'nodes that run the version go back to the one before'),
  },
  examples: [
    ['update 0.2.0 --from http://192.168.1.10:7373/updates', 'one node first, then the others'],
    [
      'update 0.2.0 --from https://files.example/tessera --canary 2 --rollout 25%',
      'a quarter of the nodes, two of them first',
    ],
    ['update', 'how far the nodes are'],
    ['update --pause', 'no further node begins'],
    ['update --rollback', 'back from the version that is announced'],
  ],
  async run({ args, options, json, out, signal, config: loadConfig }) {
    const [version] = args;
    const { config } = await loadConfig(await connectionSettings(options));
    const changes = [version !== undefined && !options.rollback, options.pause, options.resume, options.rollback];
    if (changes.filter(Boolean).length > 1)
      throw new TesseraError('TESSERA_USAGE', 'a version, --pause, --resume and --rollback exclude each other', {
        hint: 'give one of them',
      });
    const [{ connectCommand, openLog }, { topics }, { readFleet }, { askRequest }, { updateAnswer }] =
      await Promise.all([
        import('../connect.ts'),
        import('../../shared/protocol/topics.ts'),
        import('../read-fleet.ts'),
        import('../../shared/runtime/requests.ts'),
        import('../../shared/protocol/messages/update.ts'),
      ]);
    const names = topics(config.mqtt.base_topic);
    const bus = await connectCommand(config, 'update', await openLog(config, 'update'));
    try {
      const fleet = await readFleet(bus, names, { heartbeats: false, signal });
      const asked = await requestOf(version, options, fleet.update);
      const update =
        asked === undefined ? fleet.update : (await askRequest(bus, names, 'update', asked, updateAnswer)).update;
      if (json) out.json({ update: update ?? null, nodes: statesOf(fleet) });
      else if (asked === undefined) for (const line of linesOf(fleet)) out.line(line);
      if (!json && update !== undefined) out.note(summaryOf(update));
      else if (!json) out.note('no update is announced');
      return 0;
    } finally {
      await bus.stop();
    }
  },
});

/** What to ask of central; undefined where nodes are only to be shown. */
async function requestOf(
  version: string | undefined,
  options: {
    readonly from: string | undefined;
    readonly nodes: string[] | undefined;
    readonly canary: number;
    readonly rollout: number;
    readonly pause: boolean;
    readonly resume: boolean;
    readonly rollback: boolean;
  },
  announced: UpdateManifest | undefined,
): Promise<Omit<UpdateRequest, 'transaction'> | undefined> {
  if (options.pause || options.resume) return { paused: options.pause };
  const { nodes, canary, rollout } = options;
  const left = version ?? announced?.version;
  const about = { ...(nodes === undefined ? {} : { nodes }), rollout, paused: false };
  if (options.rollback) {
    if (left === undefined)
      throw new TesseraError('TESSERA_USAGE', 'no update is announced that nodes could go back from', {
        hint: 'name the version that they are to leave: tessera update 0.2.0 --rollback',
      });
    return { want: { ...about, action: 'rollback', version: left, releases: {}, canary: 0 } };
  }
  if (version === undefined) return undefined;
  if (!isVersion(version) || options.from === undefined)
    throw new TesseraError(
      'TESSERA_USAGE',
      `update ${version} ${options.from === undefined ? 'without --from' : ''}`.trim(),
      {
        hint: 'expected a version and where it is: tessera update 0.2.0 --from http://192.168.1.10:7373/updates',
      },
    );
  const { releasesAt } = await import('../update-source.ts');
  return { want: { ...about, action: 'install', version, releases: await releasesAt(options.from, version), canary } };
}

interface NodeState {
  readonly id: string;
  readonly online: boolean;
  readonly version: string | null;
  readonly state: string;
  readonly to: string | null;
  readonly text: string | null;
  readonly previous: string | null;
}

function statesOf({ nodes, reports }: FleetView): NodeState[] {
  return nodes.map(({ id, online, info }) => {
    const { version, state, to, text, previous, bytes, of } = reports.get(id) ?? {};
    const share = bytes === undefined || of === undefined ? '' : ` ${Math.floor((100 * bytes) / of)} %`;
    return {
      id,
      online,
      version: info?.version ?? version ?? null,
      state: state === undefined ? 'not from a bundle' : `${state}${share}`,
      to: to ?? null,
      text: text ?? null,
      previous: previous ?? null,
    };
  });
}

function linesOf(fleet: FleetView): string[] {
  return table<NodeState>(
    [
      { title: 'node', cell: ({ id }) => id },
      { title: 'status', cell: ({ online }) => (online ? 'online' : 'offline') },
      { title: 'runs', cell: ({ version }) => version ?? '-' },
      { title: 'before', cell: ({ previous }) => previous ?? '-' },
      { title: 'update', cell: ({ state, to }) => (to === null ? state : `${state}: ${to}`) },
      { title: 'why', cell: ({ text }) => text ?? '' },
    ],
    statesOf(fleet),
  );
}

function summaryOf({ action, version, paused, reason, canary, rollout }: UpdateManifest): string {
  const what = action === 'install' ? `version ${version} is announced` : `nodes go back from version ${version}`;
  const whom = action === 'install' ? ` (${canary} first, ${rollout} % of the nodes)` : '';
  const how = paused ? `; paused: ${reason ?? 'nobody says why'}; \`tessera update --resume\` goes on` : '';
  return `${what}${whom}${how}`;
}

function nodeIds(text: string, name: string): string[] {
  return text.split(',').map((id) => string(id.trim(), name));
}

function percent(text: string, name: string): number {
  return integer(0, 100)(text.replace(/%$/, ''), name);
}
